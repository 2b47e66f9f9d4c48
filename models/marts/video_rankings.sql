{{ config(indexes=lookup_indexes(['ranking', 'rank'], ['ranking', 'video_id'])) }}

{%- set windows = {'day': 1, 'week': 7, 'month': 30, 'year': 365} %}

with moment as (
    select as_of
    from {{ ref('int_as_of') }}
),

videos as (
    select
        video_id,
        released_on
    from {{ ref('videos') }}
),

-- A like without a timestamp has no age: it is in no window, since it may be years old.
likes as (
    select
        reviews.video_id,
        cast(extract(epoch from (moment.as_of - reviews.reviewed_at)) as double precision) / 86400 as age
    from {{ ref('int_reviews') }} as reviews
    inner join videos
        on reviews.video_id = videos.video_id
    cross join moment
    where reviews.stars >= {{ var('liked_from_stars') }}
),

-- Likes have a half-life of half a window.
windows as (
    {% for name, days in windows.items() -%}
    select
        '{{ name }}' as ranking,
        video_id,
        sum(power(0.5::double precision, age / {{ days / 2 }}::double precision)) as score
    from likes
    where age < {{ days }}
    group by video_id
    union all
    {% endfor -%}
    select
        'all' as ranking,
        video_id,
        cast(count(*) as double precision) as score
    from likes
    group by video_id
),

-- Likes of the last week above the mean week of the four before, in standard deviations of a Poisson count of that mean
-- plus one like.
trending as (
    select
        'trending' as ranking,
        video_id,
        (
            count(*) filter (where age < 7) - count(*) filter (where age >= 7) / 4::double precision
        ) / sqrt(count(*) filter (where age >= 7) / 4::double precision + 1) as score
    from likes
    where age < 35
    group by video_id
),

-- A half-life of 30 days.
new as (
    select
        'new' as ranking,
        videos.video_id,
        power(
            0.5::double precision, cast(cast(moment.as_of as date) - videos.released_on as double precision) / 30
        ) as score
    from videos
    cross join moment
    where videos.released_on <= cast(moment.as_of as date)
),

every_one as (
    select ranking, video_id, score from windows
    union all
    select ranking, video_id, score from trending
    where score > 0
    union all
    select ranking, video_id, score from new
)

select
    ranking,
    video_id,
    score,
    cast(row_number() over (partition by ranking order by score desc, video_id) as integer) as rank
from every_one
