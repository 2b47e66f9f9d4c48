-- Cold users are those of whom nothing trains, not a single review.
{{ config(enabled=var('split_strategy') == 'cold_users') }}

select user_id
from {{ ref('interaction_splits') }}
group by user_id
having
    count(*) filter (where split != 'train') > 0
    and count(*) filter (where split = 'train') > 0
