{# Creates the app's functions (sql/functions; on DuckDB serving_macros_duckdb.sql) and the tables that they read. #}
{% macro create_serving_functions() -%}
    {{ return(adapter.dispatch('create_serving_functions')()) }}
{%- endmacro %}

{% macro postgres__create_serving_functions() -%}
    {%- set are_new = execute and run_query("select to_regproc('public.recommend_videos') is null").columns[0].values()[0] -%}
    {% for name in ('make_served_tables', 'recommend_videos', 'similar_videos', 'recommend_for_vector') -%}
    {{ sql_file(name) }}
    {% endfor -%}
    {% if are_new -%}
    {{ sql_file('withhold_default_privileges') }}
    {%- endif %}
    {{ grant_serving() }}
{%- endmacro %}


{# Whether this build is of the schema that the app reads. `two-tower evaluate --protocol` builds its splits in other schemas. #}
{% macro is_served() -%}
    {{ return(env_var('TWO_TOWER_SCHEMA', target.schema) == 'two_tower') }}
{%- endmacro %}


{# On run end: creates the functions in the first build, so that the app can call them before anything is released. #}
{% macro ensure_serving_functions() -%}
    {%- set read = (ref('popularity'), ref('interactions')) -%}
    {%- if execute and flags.WHICH in ('build', 'run') and is_served() and load_relation(read[0]) and load_relation(read[1]) -%}
        {{ return(adapter.dispatch('ensure_serving_functions')()) }}
    {%- endif -%}
{%- endmacro %}

{% macro postgres__ensure_serving_functions() -%}
    {%- set are_missing = run_query("select to_regproc('public.recommend_videos') is null").columns[0].values()[0] -%}
    {%- if are_missing and pgvector_schema() is not none -%}
        {{ create_serving_functions() }}
    {%- endif -%}
{%- endmacro %}

{% macro duckdb__ensure_serving_functions() -%}
    {{ create_serving_functions() }}
{%- endmacro %}
