-- A split with nothing to learn from, or nothing to be measured on: too few reviews, or a temporal split
-- (var split_strategy) of reviews that have no timestamp, or all the same one. With the var valid_fraction 0 nothing
-- is meant to be held out.
{{ config(severity='warn', enabled=var('valid_fraction') > 0) }}

select count(*) as row_count
from {{ ref('interaction_splits') }}
having
    count(*) filter (where split = 'train') = 0
    or count(*) filter (where split = 'valid') = 0
