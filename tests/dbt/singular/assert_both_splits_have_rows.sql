-- A split with nothing to learn from, or nothing to be measured on: too few reviews, or a temporal split
-- (var split_strategy) of reviews that have no timestamp, or all the same one.
{{ config(severity='warn') }}

select count(*) as row_count
from {{ ref('interaction_splits') }}
having
    count(*) filter (where split = 'train') = 0
    or count(*) filter (where split = 'valid') = 0
