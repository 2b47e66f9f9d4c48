{{ config(indexes=lookup_indexes(['video_id'], ['popularity_rank'])) }}

with moment as (
    select as_of
    from {{ ref('int_as_of') }}
),

videos as (
    select video_id
    from {{ ref('int_videos') }}
    where is_first_of_page
),

reviews as (
    select
        video_id,
        stars >= {{ var('liked_from_stars') }} as is_liked,
        reviewed_at
    from {{ ref('int_reviews') }}
),

reviewed as (
    select
        reviews.video_id,
        count(*) as review_count,
        count(*) filter (where reviews.is_liked) as like_count,
        count(*) filter (
            where reviews.is_liked and reviews.reviewed_at > moment.as_of - interval '30 days'
        ) as like_count_30d
    from reviews
    cross join moment
    group by reviews.video_id
),

counted as (
    select
        videos.video_id,
        coalesce(reviewed.review_count, 0) as review_count,
        coalesce(reviewed.like_count, 0) as like_count,
        coalesce(reviewed.like_count_30d, 0) as like_count_30d
    from videos
    left join reviewed
        on videos.video_id = reviewed.video_id
),

-- Half for likes of all time, half for those of the last 30 days, each as a share of the most liked video's.
scored as (
    select
        *,
        0.5::double precision * like_count / greatest(max(like_count) over (), 1)
        + 0.5::double precision * like_count_30d / greatest(max(like_count_30d) over (), 1) as score
    from counted
)

select
    video_id,
    review_count,
    like_count,
    like_count_30d,
    score,
    (row_number() over (order by score desc, video_id))::integer as popularity_rank
from scored
