{# The version that is serving: one row, or none before the first release. Not a ref, since that waits for this gate. #}
{% macro serving_release() -%}
    {%- set releases = adapter.get_relation(this.database, this.schema, 'model_releases') if execute else none -%}
    {%- if releases -%}
        (select version from {{ releases }} order by release_id desc limit 1)
    {%- else -%}
        (select cast(null as text) as version where false)
    {%- endif -%}
{%- endmacro %}
