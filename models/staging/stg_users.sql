select
    id::text as user_id,
    signed_up_at
from {{ source_or_empty('catalogue', 'users', {'id': 'text', 'signed_up_at': 'timestamp'}) }}
