{{ config(pre_hook="{{ create_slot_functions() }}") }}

{% for name, table in [('users', 'user_embeddings_next'), ('videos', 'video_embeddings_next')] -%}
select
    'unit_length:{{ name }}' as check_name,
    cast(
        count(*) filter (where not coalesce({{ vector_norm('embedding') }} between 0.99 and 1.01, false))
        as double precision
    ) as value,
    'at most' as requirement,
    cast(0 as double precision) as threshold,
    cast(null as text) as waiver
from {{ ref(table) }}
union all
select
    'mean_cosine:{{ name }}' as check_name,
    cast(measured.mean_cosine as double precision) as value,
    'below' as requirement,
    cast({{ var('mean_cosine_ceiling') }} as double precision) as threshold,
    case
        when (select count(*) from {{ ref(table) }}) < {{ var('gate_min_users') }} then 'too few vectors to judge'
    end as waiver
from ({{ mean_cosine_query(ref(table), 'embedding') }}) as measured
union all
{% endfor -%}
select
    'missing_or_extra:videos' as check_name,
    cast(count(*) as double precision) as value,
    'at most' as requirement,
    cast(0 as double precision) as threshold,
    cast(null as text) as waiver
from {{ ref('video_embeddings_next') }} as landed
full outer join {{ ref('videos') }} as known on known.video_id = landed.video_id
where landed.video_id is null or known.video_id is null
union all
select
    'missing_or_extra:users' as check_name,
    cast(
        (
            select count(*)
            from {{ ref('user_embeddings_next') }} as landed
            left join {{ ref('user_feature_slots') }} as known on known.user_id = landed.user_id
            where known.user_id is null
        ) + count(distinct missing.user_id)
        as double precision
    ) as value,
    'at most' as requirement,
    cast(0 as double precision) as threshold,
    case when {{ var('is_rollback') }} then 'an older model may not know what a user likes' end as waiver
from (
    -- A user whose only features are numeric gets no vector but the popular videos.
    select known.user_id, unnest(known.feature_ids) as feature_id
    from {{ ref('user_feature_slots') }} as known
    left join {{ ref('user_embeddings_next') }} as landed on landed.user_id = known.user_id
    where landed.user_id is null
) as missing
inner join {{ ref('feature_layout') }} as layout on layout.feature_id = missing.feature_id
where layout.kind <> 'numeric'
union all
select
    'versions_landed' as check_name,
    cast(count(distinct landed.version) as double precision) as value,
    'at most' as requirement,
    cast(1 as double precision) as threshold,
    cast(null as text) as waiver
from (
    select version from {{ source('landing', 'user_embeddings_landing') }}
    union all
    select version from {{ source('landing', 'video_embeddings_landing') }}
) as landed
union all
select
    'index_recall' as check_name,
    recall as value,
    'at least' as requirement,
    cast({{ var('index_recall_floor') }} as double precision) as threshold,
    cast(null as text) as waiver
from {{ ref('index_measurements') }}
where is_chosen
{{ slot_checks() }}
