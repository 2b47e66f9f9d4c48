select distinct
    video_id,
    {{ text_value('performer_id::text') }} as performer_id
from {{ source('catalogue', 'video_performers') }}
