-- depends_on: {{ ref('user_embeddings_next') }}
{% set measured = measure_search(ref('video_embeddings_next')) -%}

with measured as (
    {% for row in measured -%}
    select
        {{ row['lists'] }}::integer as lists,
        {{ row['probes'] }}::integer as probes,
        {{ row['recall'] }}::double precision as recall,
        {{ row['scanned_share'] }}::double precision as scanned_share
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
),

-- Preference: (1) recall >= index_recall_floor; (2) at most index_scanned_share of the lists; (3) among those the
-- fewest probes with recall >= index_recall_wanted, else the highest recall; beyond that share the fewest probes.
ranked as (
    select
        *,
        row_number() over (
            order by
                recall < {{ var('index_recall_floor') }},
                scanned_share > {{ var('index_scanned_share') }},
                case
                    when scanned_share <= {{ var('index_scanned_share') }}
                        then least(recall, {{ var('index_recall_wanted') }})
                end desc,
                probes nulls last
        ) as choice
    from measured
)

select
    'video_embeddings' as table_name,
    lists,
    probes,
    recall,
    scanned_share,
    choice = 1 as is_chosen
from ranked
