{# The version that is serving: one row, or none before the first release. Not a ref, since that waits for this gate. #}
{% macro serving_release() -%}
    {%- set releases = adapter.get_relation(this.database, this.schema, 'model_releases') if execute else none -%}
    {%- if releases -%}
        (select version from {{ releases }} order by release_id desc limit 1)
    {%- else -%}
        (select cast(null as text) as version where false)
    {%- endif -%}
{%- endmacro %}


{# Versions in whose place a rollback put another, and that were not released since: a run on the same data makes them again. #}
{% macro withdrawn_versions() -%}
    {%- set releases = adapter.get_relation(this.database, this.schema, 'model_releases') if execute else none -%}
    {%- if releases -%}
        (
            select history.withdrawn as version
            from (
                select release_id, is_rollback, lag(version) over (order by release_id) as withdrawn
                from {{ releases }}
            ) as history
            where history.is_rollback
                and not exists (
                    select 1 from {{ releases }} as later
                    where later.version = history.withdrawn and later.release_id > history.release_id
                )
        )
    {%- else -%}
        (select cast(null as text) as version where false)
    {%- endif -%}
{%- endmacro %}
