{{ config(indexes=lookup_indexes(['user_id'])) }}

with as_of as (
    select as_of from {{ ref('int_as_of') }}
),

events as (
    select
        interactions.user_id,
        interactions.item_id as video_id,
        interactions.label,
        interactions.weight,
        coalesce(interactions.timestamp, as_of.as_of) as occurred_at
    from {{ ref('interactions') }} as interactions
    cross join as_of
),

{{ user_features('events', 'as_of') }}
