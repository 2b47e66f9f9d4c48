with forgotten as (
    select
        user_hash,
        salt
    from {{ source_or_empty('raw', 'forgotten_users', {'user_hash': 'text', 'salt': 'text'}) }}
)

select
    id::text as user_id,
    signed_up_at
from {{ source_or_empty('catalogue', 'users', {'id': 'text', 'signed_up_at': 'timestamp'}) }}
-- An app's own table may hold them still. Without anybody to forget the salt is null, which is not in an empty list.
where {{ sha256("(select max(forgotten.salt) from forgotten) || ':' || id::text") }}
    not in (select forgotten.user_hash from forgotten)
