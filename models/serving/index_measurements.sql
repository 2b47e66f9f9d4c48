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

-- The fewest probes that reach the floor; exact search, which always does, comes last.
ranked as (
    select
        *,
        row_number() over (order by recall < {{ var('index_recall_floor') }}, probes nulls last) as choice
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
