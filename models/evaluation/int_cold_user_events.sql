{{ config(materialized='view') }}

with shown as (
    select * from {{ ref('int_split_reviews') }}
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
    cases.like_count,
    shown.video_id,
    shown.label,
    shown.weight,
    shown.timestamp
from shown
inner join cases on shown.fold < cases.like_count
