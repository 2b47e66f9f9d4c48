{# The version that is landed, to be audited: one row. That there is no other is for vector_checks to say. #}
{% macro landed_version() -%}
    (select max(version) as version from {{ source('landing', 'video_embeddings_landing') }})
{%- endmacro %}


{# The releases there were before this one. Not a ref, since that waits for this gate. #}
{% macro former_releases() -%}
    {{ source_or_empty('released', 'model_releases', {
        'release_id': 'bigint', 'version': 'text', 'is_rollback': 'boolean',
    }) }}
{%- endmacro %}


{# The version that is serving: one row, or none before the first release. #}
{% macro serving_release() -%}
    (select version from {{ former_releases() }} order by release_id desc limit 1)
{%- endmacro %}


{# Versions in whose place a rollback put another, and that were not released since: a run on the same data makes them again. #}
{% macro withdrawn_versions() -%}
    (
        with releases as (
            select release_id, version, is_rollback from {{ former_releases() }}
        ),

        history as (
            select release_id, is_rollback, lag(version) over (order by release_id) as withdrawn
            from releases
        )

        select history.withdrawn as version
        from history
        where history.is_rollback
            and not exists (
                select 1 from releases as later
                where later.version = history.withdrawn and later.release_id > history.release_id
            )
    )
{%- endmacro %}
