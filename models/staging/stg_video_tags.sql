select distinct
    video_id,
    {{ text_value('tag_id::text') }} as tag_id
from {{ source('catalogue', 'video_tags') }}
