{{ config(materialized='incremental', incremental_strategy='append', full_refresh=false, on_schema_change='fail') }}

with layout as (
    select distinct layout_hash from {{ ref('feature_layout') }}
),

as_of as (
    select as_of from {{ ref('int_as_of') }}
),

known as (
    {% if is_incremental() -%}
    select input_schema_version, layout_hash from {{ this }}
    {%- else -%}
    select cast(null as integer) as input_schema_version, cast(null as text) as layout_hash where false
    {%- endif %}
),

latest as (
    select coalesce(max(input_schema_version), 0) as input_schema_version from known
)

select
    cast(latest.input_schema_version + 1 as integer) as input_schema_version,
    layout.layout_hash,
    as_of.as_of as first_seen_at
from layout
cross join latest
cross join as_of
left join known on known.layout_hash = layout.layout_hash
where known.layout_hash is null
