select
    id::text as tag_id,
    name
from {{ source('catalogue', 'tags') }}
