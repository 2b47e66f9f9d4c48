-- Users all of whose reviews are held out. A temporal split has such users: they are its new ones.
{{ config(enabled=var('split_strategy') == 'random') }}

select user_id
from {{ ref('interaction_splits') }}
group by user_id
having count(*) filter (where split = 'train') = 0
