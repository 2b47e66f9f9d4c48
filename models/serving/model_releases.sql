{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    full_refresh=false,
    post_hook=["{{ create_serving_functions() }}", "{{ publish_release() }}", "{{ smoke_test() }}"],
) }}
-- The gate: dbt skips a model after a failed test only if the model depends on everything that the test reads.
-- depends_on: {{ ref('promotion_checks') }} {{ ref('released_distributions') }} {{ ref('videos') }} {{ ref('popularity') }} {{ ref('interactions') }}

with landed as {{ landed_version() }},

users as (
    select count(*) as user_count
    from {{ ref('user_embeddings_next') }}
),

videos as (
    select count(*) as video_count
    from {{ ref('video_embeddings_next') }}
),

search as (
    select
        lists,
        probes,
        recall
    from {{ ref('index_measurements') }}
    where is_chosen
),

former as (
    {% if is_incremental() -%}
    select coalesce(max(release_id), 0) as release_id
    from {{ this }}
    {%- else -%}
    select 0 as release_id
    {%- endif %}
)

select
    (former.release_id + 1)::bigint as release_id,
    landed.version,
    timestamp '{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S") }}' as released_at,
    {{ var('is_rollback') }} as is_rollback,
    users.user_count,
    videos.video_count,
    search.lists,
    search.probes,
    search.probes is null as is_exact,
    search.recall as index_recall
from landed
cross join users
cross join videos
cross join search
cross join former
