select distinct
    video_id,
    performer_id::text as performer_id
from {{ source('catalogue', 'video_performers') }}
