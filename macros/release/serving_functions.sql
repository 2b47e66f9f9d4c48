{# The app's functions (sql/functions; on DuckDB serving_macros_duckdb.sql), and the tables that they read. #}
{% macro create_serving_functions() -%}
    {{ return(adapter.dispatch('create_serving_functions')()) }}
{%- endmacro %}

{% macro postgres__create_serving_functions() -%}
    {%- set are_new = execute and run_query("select to_regproc('public.recommend_videos') is null").columns[0].values()[0] -%}
    {{ create_event_stars() }}
    {% for name in (
        'make_served_tables', 'reviewer_of_request', 'may_act_for', 'acting_user', 'variant_of', 'seen_videos',
        'recommend_videos', 'similar_videos', 'recommend_for_vector', 'record_event', 'record_impressions',
        'weighed_slots', 'slot_sum', 'visitor_vector', 'user_slots', 'user_vector', 'explain_recommendation',
    ) -%}
    {{ sql_file(name) }}
    {% endfor -%}
    {% if are_new -%}
    {{ sql_file('withhold_default_privileges') }}
    {%- endif %}
    {{ grant_serving() }}
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


{# On run end: the functions are there from the first build on, before anything is released. #}
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
