-- Users all of whose reviews are held out. A temporal split has such users (its new ones), and so have the cold splits:
-- cold users, and who reviewed cold videos alone.
{{ config(enabled=var('split_strategy') in ('random', 'leave_last_out')) }}

select user_id
from {{ ref('interaction_splits') }}
group by user_id
having count(*) filter (where split = 'train') = 0
