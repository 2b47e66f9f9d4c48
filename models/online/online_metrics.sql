with impressions as (
    select
        user_id,
        video_id,
        shown_at,
        source,
        is_clicked,
        is_liked
    from {{ ref('int_impressions') }}
),

videos as (
    select count(*) as video_count
    from {{ ref('int_videos') }}
    where is_first_of_page
),

lists as (
    select
        user_id,
        shown_at,
        min(source) as source,
        count(*) as impression_count,
        count(*) filter (where is_clicked) as click_count,
        count(*) filter (where is_liked) as like_count
    from impressions
    group by user_id, shown_at
),

days as (
    select
        shown_at::date as day,
        count(*) as list_count,
        count(distinct user_id) as user_count,
        sum(impression_count)::bigint as impression_count,
        sum(click_count)::bigint as click_count,
        sum(like_count)::bigint as like_count,
        count(source) as known_list_count,
        count(*) filter (where source = 'popular') as fallback_count
    from lists
    group by shown_at::date
),

shown as (
    select
        shown_at::date as day,
        count(distinct video_id) as shown_video_count
    from impressions
    group by shown_at::date
)

select
    days.day,
    days.list_count,
    days.user_count,
    days.impression_count,
    days.click_count,
    days.like_count,
    days.click_count / days.impression_count::double precision as click_through_rate,
    {{ wilson('days.click_count', 'days.impression_count', 'lower') }} as click_through_rate_lower,
    {{ wilson('days.click_count', 'days.impression_count', 'upper') }} as click_through_rate_upper,
    days.fallback_count / nullif(days.known_list_count, 0)::double precision as fallback_share,
    shown.shown_video_count / nullif(videos.video_count, 0)::double precision as coverage
from days
inner join shown
    on days.day = shown.day
cross join videos
