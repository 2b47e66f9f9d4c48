{#
    A check that a version's slots make the vectors that are landed: the median cosine of a sample of users. Of one moment, both
    are of the same features. A median, since a few users may have changed within it. DuckDB has no slots.
#}
{% macro slot_checks() -%}
    {{ return(adapter.dispatch('slot_checks')()) }}
{%- endmacro %}

{% macro default__slot_checks() -%}
{%- endmacro %}

{% macro postgres__slot_checks() -%}
{%- set pgvector = pgvector_schema() -%}
union all
select
    'slot_sums:users' as check_name,
    percentile_disc(0.5) within group (order by sample.cosine) as value,
    'at least' as requirement,
    cast(0.999 as double precision) as threshold,
    case
        when not exists (
            select 1 from {{ source('landing', 'slot_blocks') }} as blocks
            where blocks.version = (select landed.version from {{ landed_version() }} as landed)
        ) then 'this version has no slots: two-tower embed writes them'
        when not exists (
            select 1 from {{ source('landing', 'embedded_as_of') }} as embedded
            inner join {{ ref('int_moment') }} as moment on moment.as_of = embedded.as_of
            where embedded.version = (select landed.version from {{ landed_version() }} as landed)
        ) then 'the features are of another moment than the vectors'
        when count(*) = 0 then 'no user has a slot that this version knows'
    end as waiver
from (
    select 1 - (users.embedding operator({{ pgvector }}.<=>) cast(users.summed as {{ pgvector }}.halfvec)) as cosine
    from (
        select
            landed.embedding,
            two_tower.slot_sum(
                (select of_landed.version from {{ landed_version() }} as of_landed), known.feature_ids, known.indices, known.values
            ) as summed
        from {{ ref('user_embeddings_next') }} as landed
        inner join {{ ref('user_feature_slots') }} as known on known.user_id = landed.user_id
        order by md5(landed.user_id), landed.user_id
        limit 100
    ) as users
    where users.summed is not null
) as sample
{%- endmacro %}


{# Pre-hook of the check: the functions as they are to serve. #}
{% macro create_slot_functions() -%}
    {{ return(adapter.dispatch('create_slot_functions')()) }}
{%- endmacro %}

{% macro default__create_slot_functions() -%}
{%- endmacro %}

{% macro postgres__create_slot_functions() -%}
    {{ sql_file('weighed_slots') }}
    {{ sql_file('slot_sum') }}
{%- endmacro %}
