{{ config(materialized='view') }}

with events as (
    select
        user_id,
        video_id,
        kind,
        rank,
        source,
        experiment,
        variant,
        happened_at
    from {{ ref('stg_events') }}
    where kind in ('impression', 'click', 'like')
),

-- A click or like is attributed to the latest impression of the video before it.
numbered as (
    select
        *,
        count(*) filter (where kind = 'impression') over (
            partition by user_id, video_id
            order by happened_at, case when kind = 'impression' then 0 else 1 end, rank
            rows unbounded preceding
        ) as impression_number
    from events
)

select
    user_id,
    video_id,
    min(happened_at) as shown_at,
    min(rank) as rank,
    min(source) as source,
    min(experiment) filter (where kind = 'impression') as experiment,
    min(variant) filter (where kind = 'impression') as variant,
    count(*) filter (where kind = 'click' and happened_at <= shown_until) > 0 as is_clicked,
    count(*) filter (where kind = 'like' and happened_at <= shown_until) > 0 as is_liked
from (
    select
        *,
        min(happened_at) over (partition by user_id, video_id, impression_number) + interval '1 day' as shown_until
    from numbered
    where impression_number > 0
) as answered
group by user_id, video_id, impression_number
