with forgotten as (
    select
        user_hash,
        salt
    from {{ source_or_empty('raw', 'forgotten_users', {'user_hash': 'text', 'salt': 'text'}) }}
),

users as (
    select
        id::text as written_id,
        {{ text_value('id::text') }} as user_id,
        signed_up_at
    from {{ source_or_empty('catalogue', 'users', {'id': 'text', 'signed_up_at': 'timestamp'}) }}
)

select
    user_id,
    min(signed_up_at) as signed_up_at
from users
-- An app's own table may still hold forgotten people. With nobody forgotten the salt is null: not in an empty list.
where {{ sha256("(select max(forgotten.salt) from forgotten) || ':' || user_id") }}
    not in (select forgotten.user_hash from forgotten)
    -- People who were forgotten before ids were normalised are known by the id as it was written.
    and {{ sha256("(select max(forgotten.salt) from forgotten) || ':' || written_id") }}
    not in (select forgotten.user_hash from forgotten)
group by user_id
