{{ config(indexes=lookup_indexes(['user_id'])) }}

with moment as (
    select as_of
    from {{ ref('int_as_of') }}
),

reviewers as (
    select
        user_id,
        min(occurred_at) as first_occurred_at,
        min(reviewed_at) as first_reviewed_at,
        max(reviewed_at) as last_reviewed_at,
        count(*) as review_count,
        count(*) filter (where stars >= {{ var('liked_from_stars') }}) as like_count
    from {{ ref('int_reviews') }}
    group by user_id
),

-- Of whom nothing but categories is known is a user too.
accounts as (
    select
        coalesce(users.user_id, profiles.user_id) as user_id,
        users.signed_up_at
    from {{ ref('stg_users') }} as users
    full outer join (select distinct user_id from {{ ref('stg_user_categories') }}) as profiles
        on profiles.user_id = users.user_id
),

-- A user who signed up later than as_of does not exist yet.
registered as (
    select
        users.user_id,
        users.signed_up_at
    from accounts as users
    cross join moment
    where users.signed_up_at is null or users.signed_up_at <= moment.as_of
)

select
    coalesce(reviewers.user_id, registered.user_id) as user_id,
    coalesce(registered.signed_up_at, reviewers.first_occurred_at) as signed_up_at,
    reviewers.first_reviewed_at,
    reviewers.last_reviewed_at,
    coalesce(reviewers.review_count, 0) as review_count,
    coalesce(reviewers.like_count, 0) as like_count
from reviewers
full outer join registered
    on reviewers.user_id = registered.user_id
