{{ config(materialized='view') }}

select
    cases.case_id,
    cases.user_id,
    cases.like_count,
    shown.video_id,
    shown.label,
    shown.weight,
    shown.timestamp
from {{ ref('int_split_reviews') }} as shown
inner join {{ ref('int_cold_user_cases') }} as cases
    on cases.user_id = shown.user_id and shown.fold < cases.like_count
where shown.split = 'shown'
