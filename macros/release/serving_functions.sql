{# The app's functions (sql/functions; on DuckDB serving_macros_duckdb.sql), and the tables that they read. #}
{% macro create_serving_functions() -%}
    {{ return(adapter.dispatch('create_serving_functions')()) }}
{%- endmacro %}

{% macro postgres__create_serving_functions() -%}
    {% for name in ('make_served_tables', 'recommend_videos', 'similar_videos', 'recommend_for_vector') -%}
    {{ sql_file(name) }}
    {% endfor -%}
    {{ sync_grants() }}
{%- endmacro %}


{#
    How many videos a search takes before it sorts, for so many that are wanted: the probed lists hold the nearest 20 of
    nearly everybody, but not the nearest 100. Where they hold fewer than that, the scan goes on with the next lists.
#}
{% macro taken_for(wanted) -%}
4::bigint * {{ wanted }}
{%- endmacro %}


{# Whether this build is of the schema that the app's functions read: a split that is evaluated has one of its own. #}
{% macro is_served() -%}
    {{ return(env_var('TWO_TOWER_SCHEMA', target.schema) == 'two_tower') }}
{%- endmacro %}


{# On run end: the functions are there from the first build on, before anything is released, and as this version has them. #}
{% macro ensure_serving_functions() -%}
    {%- set read = (ref('popularity'), ref('interactions')) -%}
    {%- if execute and flags.WHICH in ('build', 'run') and is_served() and load_relation(read[0]) and load_relation(read[1]) -%}
        {{ return(adapter.dispatch('ensure_serving_functions')()) }}
    {%- endif -%}
{%- endmacro %}

{% macro postgres__ensure_serving_functions() -%}
    {%- if pgvector_schema() is not none -%}
        {%- call statement('ensure_serving_functions') -%}
            {{ create_serving_functions() }};
            {#- A function that is made anew has lost how far it searches. -#}
            {%- if load_relation(source('released', 'model_releases')) %}
            select two_tower.tune_search((select probes from two_tower.model_releases order by release_id desc limit 1))
            {%- endif -%}
        {%- endcall -%}
        {#- Committed here: dbt rolls back what its hooks leave open on run end. -#}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro %}

{% macro duckdb__ensure_serving_functions() -%}
    {{ create_serving_functions() }}
{%- endmacro %}
