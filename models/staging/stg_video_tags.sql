select distinct
    video_id,
    tag_id::text as tag_id
from {{ source('catalogue', 'video_tags') }}
