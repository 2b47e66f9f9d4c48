{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    full_refresh=false,
) }}

with landed as {{ landed_version() }},

-- Written by `two-tower release`: SQL cannot read the files of the registry.
artifacts as (
    select
        wanted.check_name,
        checks.value,
        'at most' as requirement,
        checks.threshold,
        nullif(checks.note, '') as note
    from (
        select 'registry:damaged_files' as check_name
        union all
        select 'registry:onnx_parity'
    ) as wanted
    cross join landed
    left join {{ source('evaluation', 'artifact_checks') }} as checks
        on checks.version = landed.version and checks.check_name = wanted.check_name
),

checks as (
    select
        check_name,
        value,
        requirement,
        threshold,
        null as lower,
        null as upper,
        null as user_count,
        waiver,
        null as note
    from {{ ref('vector_checks') }}
    union all
    select check_name, value, requirement, threshold, lower, upper, user_count, waiver, note
    from {{ ref('quality_checks') }}
    union all
    select check_name, value, requirement, threshold, lower, upper, user_count, waiver, note
    from {{ ref('serving_checks') }}
    union all
    select check_name, value, requirement, threshold, null, null, null, waiver, note
    from {{ ref('version_checks') }}
    union all
    select check_name, value, requirement, threshold, null, null, null, null, note
    from artifacts
),

former as (
    {% if is_incremental() -%}
    select coalesce(max(attempt), 0) as attempt from {{ this }}
    {%- else -%}
    select 0 as attempt
    {%- endif %}
)

select
    cast(former.attempt + 1 as bigint) as attempt,
    landed.version,
    timestamp '{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S") }}' as checked_at,
    checks.check_name,
    checks.value,
    checks.requirement,
    checks.threshold,
    checks.waiver is not null or coalesce(
        case checks.requirement
            when 'at least' then checks.value >= checks.threshold
            when 'at most' then checks.value <= checks.threshold
            when 'above' then checks.value > checks.threshold
            when 'below' then checks.value < checks.threshold
        end,
        false
    ) as passed,
    cast(checks.lower as double precision) as lower,
    cast(checks.upper as double precision) as upper,
    cast(checks.user_count as bigint) as user_count,
    serving.version as serving_version,
    coalesce(checks.waiver, checks.note) as note
from checks
cross join landed
cross join former
left join {{ serving_release() }} as serving on true
