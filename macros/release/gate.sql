{# The landed version, which is under audit: one row. vector_checks tests that there is only one. #}
{% macro landed_version() -%}
    (select max(version) as version from {{ source('landing', 'video_embeddings_landing') }})
{%- endmacro %}


{# The releases before this one. Not a ref: model_releases is built after this gate. #}
{% macro former_releases() -%}
    {{ source_or_empty('released', 'model_releases', {
        'release_id': 'bigint', 'version': 'text', 'is_rollback': 'boolean',
    }) }}
{%- endmacro %}


{# The serving version: one row, or none before the first release. #}
{% macro serving_release() -%}
    (select version from {{ former_releases() }} order by release_id desc limit 1)
{%- endmacro %}


{# Versions that a rollback withdrew and that were not released since. A run on the same data would make them again. #}
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
