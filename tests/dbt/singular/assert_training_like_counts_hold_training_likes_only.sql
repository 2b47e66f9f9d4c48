-- A count cannot name its events, but it cannot exceed the training likes of the same 30 days either.
with as_of as (
    select train_as_of as as_of from {{ ref('int_as_of') }}
),

likes as (
    select reviews.user_id, count(*) as like_count
    from {{ ref('int_split_reviews') }} as reviews
    cross join as_of
    where
        reviews.split = 'train'
        and reviews.label = 1
        and coalesce(reviews.timestamp, as_of.as_of) > as_of.as_of - interval '30 days'
        and coalesce(reviews.timestamp, as_of.as_of) <= as_of.as_of
    group by reviews.user_id
)

select features.user_id, features.like_count_30d, likes.like_count
from {{ ref('training_user_features') }} as features
left join likes on likes.user_id = features.user_id
where features.like_count_30d > coalesce(likes.like_count, 0)
