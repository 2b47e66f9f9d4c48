with events as (
    select
        event_id,
        user_id,
        video_id,
        kind,
        stars,
        happened_at
    from {{ ref('int_events') }}
),

-- An event of any video of a page counts for the first video of that page.
pages as (
    select
        videos.video_id,
        coalesce(firsts.video_id, videos.video_id) as page_video_id
    from {{ ref('int_videos') }} as videos
    left join {{ ref('int_videos') }} as firsts
        on firsts.is_first_of_page and videos.canonical_url = firsts.canonical_url
)

select
    events.event_id,
    events.user_id,
    pages.page_video_id as video_id,
    events.kind,
    events.stars,
    events.happened_at,
    case
        when events.kind not in ({{ counting_kinds() }}) then 'unknown kind'
        when events.stars is null then 'kind does not count'
        when pages.video_id is null then 'unknown video'
        when coalesce(events.user_id, '') = '' then 'nobody'
        else 'counted'
    end as outcome
from events
left join pages
    on events.video_id = pages.video_id
