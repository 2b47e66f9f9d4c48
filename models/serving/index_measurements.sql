{%- set measured = measure_search(ref('user_embeddings_next'), ref('video_embeddings_next')) -%}

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

-- What has to be found, the floor, comes first; then a search that reads no more of the lists than it may, and of those the fewest
-- probes that find what is wanted, or the most; where none reaches the floor so cheaply, the fewest beyond.
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
