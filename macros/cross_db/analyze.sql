{#
    Post-hook: updates the planner's statistics of a new table. Autovacuum comes a minute later, and until then Postgres takes
    every new table for a small one and joins it in nested loops: a build of 100,000 reviews took minutes.
    DuckDB counts as it writes.
#}
{% macro analyze() -%}
    {{ return(adapter.dispatch('analyze')()) }}
{%- endmacro %}

{% macro default__analyze() -%}
{%- endmacro %}

{% macro postgres__analyze() -%}
    {%- if config.get('materialized') in ('table', 'incremental') -%}
        analyze {{ this }}
    {%- endif -%}
{%- endmacro %}
