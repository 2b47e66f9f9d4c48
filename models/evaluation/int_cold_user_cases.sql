{{ config(materialized='view') }}

with shown as (
    select distinct user_id from {{ ref('int_split_reviews') }}
    where split = 'shown'
),

cases as (
    {% for like_count in var('cold_user_likes') -%}
    select {{ like_count }} as like_count
    {{ 'union all' if not loop.last }}
    {% endfor -%}
)

select
    cases.like_count::text || ':' || shown.user_id as case_id,
    shown.user_id,
    cases.like_count
from shown
cross join cases
