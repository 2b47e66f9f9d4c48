-- Events in, events out: none is lost or comes twice on its way to interactions, and of each that does not count is said why.
select
    kind,
    event_count,
    counted_count,
    uncounted_count,
    unknown_video_count,
    unknown_kind_count,
    nobody_count
from {{ ref('event_reconciliation') }}
where event_count != counted_count + uncounted_count + unknown_video_count + unknown_kind_count + nobody_count
