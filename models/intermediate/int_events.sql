-- A copy: the app keeps writing while the other models are built, and all of them have to see the same events.
select
    event_id,
    user_id,
    video_id,
    kind,
    {{ event_stars('kind', 'weight') }} as stars,
    happened_at
from {{ ref('stg_events') }}
where kind != 'impression'
