with events as (
    select
        kind,
        count(*) as event_count
    from {{ ref('int_events') }}
    group by kind
),

outcomes as (
    select
        kind,
        count(*) filter (where outcome = 'counted') as counted_count,
        count(*) filter (where outcome = 'kind does not count') as uncounted_count,
        count(*) filter (where outcome = 'unknown video') as unknown_video_count,
        count(*) filter (where outcome = 'unknown kind') as unknown_kind_count,
        count(*) filter (where outcome = 'nobody') as nobody_count
    from {{ ref('int_event_reviews') }}
    group by kind
)

select
    coalesce(events.kind, outcomes.kind) as kind,
    coalesce(events.event_count, 0) as event_count,
    coalesce(outcomes.counted_count, 0) as counted_count,
    coalesce(outcomes.uncounted_count, 0) as uncounted_count,
    coalesce(outcomes.unknown_video_count, 0) as unknown_video_count,
    coalesce(outcomes.unknown_kind_count, 0) as unknown_kind_count,
    coalesce(outcomes.nobody_count, 0) as nobody_count
from events
full outer join outcomes
    on events.kind = outcomes.kind
