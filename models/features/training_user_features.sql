with as_of as (
    select train_as_of as as_of from {{ ref('int_as_of') }}
),

events as (
    select
        reviews.user_id,
        reviews.video_id,
        reviews.label,
        reviews.weight,
        coalesce(reviews.timestamp, as_of.as_of) as occurred_at
    from {{ ref('int_split_reviews') }} as reviews
    cross join as_of
    where reviews.split = 'train'
),

{{ user_features('events', 'as_of') }}
