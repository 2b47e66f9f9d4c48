{# The schema of pgvector, quoted (`public`; `extensions` on Supabase), or none if it is not installed. #}
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


{# Pre-hook: puts pgvector's schema on the search path until the end of the transaction, for its types and operator classes. #}
{% macro use_pgvector() -%}
    {{ return(adapter.dispatch('use_pgvector')()) }}
{%- endmacro %}

{% macro default__use_pgvector() -%}
{%- endmacro %}

{% macro postgres__use_pgvector() -%}
    select set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), '{{ pgvector_schema() }}'), true)
{%- endmacro %}
