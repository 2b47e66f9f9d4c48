-- A cold video that somebody's training review names is not cold.
{{ config(enabled=var('split_strategy') == 'cold_items') }}

select item_id
from {{ ref('interaction_splits') }}
group by item_id
having
    count(*) filter (where split != 'train') > 0
    and count(*) filter (where split = 'train') > 0
