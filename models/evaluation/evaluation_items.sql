with items as (
    select video_id, item_number from {{ ref('item_feature_slots') }}
),

reviews as (
    select
        video_id,
        count(*) filter (where split = 'train') as review_count,
        count(*) filter (where split = 'train' and label = 1) as like_count,
        count(*) filter (where split = 'valid') as valid_review_count
    from {{ ref('int_split_reviews') }}
    group by video_id
),

counted as (
    select
        items.item_number,
        items.video_id,
        coalesce(reviews.review_count, 0) as review_count,
        coalesce(reviews.like_count, 0) as like_count,
        coalesce(reviews.valid_review_count, 0) as valid_review_count
    from items
    left join reviews on reviews.video_id = items.video_id
),

-- Cumulative reviews of the videos with more reviews than this one, so that the head has as few videos as possible.
cumulated as (
    select
        item_number,
        video_id,
        review_count,
        like_count,
        valid_review_count,
        sum(review_count) over (
            order by review_count desc, item_number rows between unbounded preceding and current row
        ) - review_count as review_count_before,
        sum(review_count) over () as review_count_of_all
    from counted
)

select
    item_number,
    video_id,
    cast(review_count as bigint) as train_review_count,
    cast(like_count as bigint) as train_like_count,
    cast(valid_review_count as bigint) as valid_review_count,
    cast(
        case
            when review_count = 0 then 'cold'
            when review_count_before < {{ var('head_share') }} * review_count_of_all then 'head'
            else 'tail'
        end as text
    ) as item_slice
from cumulated
