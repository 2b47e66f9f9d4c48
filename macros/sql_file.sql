{#
    The statements of sql/…/NAME.sql, which dbt knows as an analysis: files that psql can run too. They are written for
    pgvector in the schema `extensions`; here it is the schema of this database.
#}
{% macro sql_file(name) -%}
    {%- if execute -%}
        {{ graph.nodes['analysis.two_tower.' ~ name].raw_code | replace('extensions.', pgvector_schema() ~ '.') }}
    {%- endif -%}
{%- endmacro %}
