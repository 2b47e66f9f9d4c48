with forgotten as (
    select
        user_hash,
        salt
    from {{ source_or_empty('raw', 'forgotten_users', {'user_hash': 'text', 'salt': 'text'}) }}
),

-- One select from the table: a question for one written_id is answered by its index.
categories as (
    select distinct
        user_id::text as written_id,
        {{ text_value('user_id::text') }} as user_id,
        {{ text_value('category::text') }} as category,
        {{ text_value('value::text') }} as value
    from {{ source_or_empty('catalogue', 'user_categories', {'user_id': 'text', 'category': 'text', 'value': 'text'}) }}
)

select
    written_id,
    user_id,
    category,
    value,
    -- A category's name has no '=' here, so that a token is cut at its first one.
    replace(category, '=', ' ') || '=' || value as token
from categories
where user_id <> ''
    and category <> ''
    and value <> ''
    and {{ is_not_left_out('category') }}
    -- As in stg_users: an app's own table may still hold forgotten people, also by ids as they were once written.
    and {{ sha256("(select max(forgotten.salt) from forgotten) || ':' || user_id") }}
    not in (select forgotten.user_hash from forgotten)
    and {{ sha256("(select max(forgotten.salt) from forgotten) || ':' || written_id") }}
    not in (select forgotten.user_hash from forgotten)
