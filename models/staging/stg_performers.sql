select
    id::text as performer_id,
    name
from {{ source('catalogue', 'performers') }}
