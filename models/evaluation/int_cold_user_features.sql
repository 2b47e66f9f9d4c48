{{ config(materialized='view') }}

with as_of as (
    select train_as_of as as_of from {{ ref('int_as_of') }}
),

likes as (
    select * from {{ ref('int_cold_user_events') }}
),

events as (
    select
        likes.case_id as user_id,
        likes.video_id,
        likes.label,
        likes.weight,
        coalesce(likes.timestamp, as_of.as_of) as occurred_at
    from likes
    cross join as_of
),

people as (
    select
        cases.case_id as user_id,
        cases.user_id as person_id,
        stg_users.signed_up_at
    from {{ ref('int_cold_user_cases') }} as cases
    left join {{ ref('stg_users') }} as stg_users on stg_users.user_id = cases.user_id
),

{{ user_features('events', 'as_of', 'people') }}
