select
    id::text as user_id,
    signed_up_at::timestamp as signed_up_at
from {{ source('catalogue', 'users') }}
