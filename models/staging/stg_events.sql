with forgotten as (
    select
        user_hash,
        salt
    from {{ source_or_empty('raw', 'forgotten_users', {'user_hash': 'text', 'salt': 'text'}) }}
),

recorded as (
    select
        event_id,
        user_id,
        video_id,
        kind,
        weight,
        release_id,
        rank,
        source,
        experiment,
        variant,
        {{ in_utc('happened_at') }} as happened_at
    from {{ source('app', 'events') }}
),

imported as (
    select
        {{ text_value('user_id::text') }} as user_id,
        video_id,
        coalesce(kind, '') as kind,
        weight,
        {{ in_utc('happened_at') }} as happened_at
    from {{ source_or_empty('raw', 'app_events', {
        'user_id': 'text', 'video_id': 'uuid', 'kind': 'text', 'weight': 'real', 'happened_at': 'timestamp',
    }) }}
)

select
    event_id,
    user_id,
    video_id,
    kind,
    weight::double precision as weight,
    release_id,
    rank,
    source,
    experiment,
    variant,
    happened_at
from recorded
union all
select
    null::bigint as event_id,
    user_id,
    video_id,
    kind,
    case when weight < 0 then 0 when weight > 1 then 1 else weight end::double precision as weight,
    null::bigint as release_id,
    null::integer as rank,
    null::text as source,
    null::text as experiment,
    null::text as variant,
    happened_at
from imported
-- An app's own table may still hold forgotten people. With nobody forgotten the salt is null: not in an empty list.
where {{ sha256("(select max(forgotten.salt) from forgotten) || ':' || user_id") }}
    not in (select forgotten.user_hash from forgotten)
