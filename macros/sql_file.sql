{#
    The text of sql/…/NAME.sql, which dbt knows as an analysis and psql can run too. The files name pgvector's schema
    `extensions`; the macro puts this database's in its place.
#}
{% macro sql_file(name) -%}
    {%- if execute -%}
        {{ graph.nodes['analysis.two_tower.' ~ name].raw_code | replace('extensions.', pgvector_schema() ~ '.') }}
    {%- endif -%}
{%- endmacro %}
