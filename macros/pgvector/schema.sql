{# The schema pgvector lives in, quoted (`public`; `extensions` on Supabase), or none where it is not installed. #}
{% macro pgvector_schema() -%}
    {%- if not execute -%}
        {{ return('public') }}
    {%- endif -%}
    {%- set found = run_query(
        "select quote_ident(n.nspname) from pg_catalog.pg_extension as e"
        " join pg_catalog.pg_namespace as n on n.oid = e.extnamespace where e.extname = 'vector'"
    ) -%}
    {{ return(found.columns[0].values()[0] if found | length > 0 else none) }}
{%- endmacro %}


{# Pre-hook: finds pgvector's types and operator classes by their bare names, until the end of the transaction. #}
{% macro use_pgvector() -%}
    {{ return(adapter.dispatch('use_pgvector')()) }}
{%- endmacro %}

{% macro default__use_pgvector() -%}
{%- endmacro %}

{% macro postgres__use_pgvector() -%}
    select set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), '{{ pgvector_schema() }}'), true)
{%- endmacro %}
