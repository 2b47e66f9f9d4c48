{# Creates the app's functions (sql/functions; on DuckDB serving_macros_duckdb.sql) and the tables that they read. #}
{% macro create_serving_functions() -%}
    {{ return(adapter.dispatch('create_serving_functions')()) }}
{%- endmacro %}

{% macro postgres__create_serving_functions() -%}
    {#- Bodies are looked at when they are called: a table that they read may be built by the next command. -#}
    select set_config('check_function_bodies', 'off', true);
    {{ create_event_stars() }}
    {#- What is called comes before what calls it. -#}
    {% for name in (
        'make_served_tables', 'reviewer_of_request', 'may_act_for', 'acting_user', 'known_person', 'recorded_user', 'variant_of',
        'served_version', 'weighed_slots', 'slot_sum', 'visitor_vector', 'user_slots', 'user_vector', 'check_bounds',
        'check_shape', 'checked_ids', 'checked_count', 'checked_batch', 'checked_window', 'filter_condition', 'share_that_passes', 'is_shaped', 'excluded_videos',
        'serving_release', 'find_popular', 'fill_capped', 'shape_list', 'find_videos', 'liked_lately', 'liked_rows', 'explain_score', 'list_ranking',
    ) -%}
    {{ sql_file(name) }}
    {% endfor -%}
    {#- The same in the tables that are kept, for an experiment's other release. -#}
    {% for name in of_both_releases() -%}
    {{ of_previous_release(sql_file(name)) }}
    {% endfor -%}
    {% for name in ('recommend',) + app_functions() -%}
    {{ sql_file(name) }}
    {% endfor -%}
    {{ drop_old_signatures() }}
    {{ sync_grants() }}
{%- endmacro %}


{# What an app calls, in schema public. #}
{% macro app_functions() -%}
    {{ return((
        'recommend_videos', 'recommend_for_me', 'recommend_for_likes', 'recommend_for_vector', 'similar_videos', 'rank_videos',
        'recommend_batch', 'because_you_watched', 'similar_users', 'popular_videos', 'new_videos', 'trending_videos',
        'explain_recommendation', 'record_event', 'record_impressions',
    )) }}
{%- endmacro %}


{# The functions as a former version had them, with other parameters: beside those just made, a call would be of both. #}
{% macro drop_old_signatures() -%}
    do $$
    declare
        former regprocedure;
    begin
        for former in
            select p.oid::regprocedure
            from pg_proc as p
            where p.pronamespace = 'public'::regnamespace and p.proname in ('{{ app_functions() | join("', '") }}')
                and pg_get_userbyid(p.proowner) in (current_user, 'two_tower_api')
                and p.xmin <> pg_current_xact_id()::xid
        loop
            execute format('drop function %s', former);
        end loop;
    end $$;
{%- endmacro %}


{# What reads a release, in the order in which it calls one another. #}
{% macro of_both_releases() -%}
    {{ return(('served_version', 'user_vector', 'shape_list', 'find_videos', 'liked_lately', 'liked_rows', 'explain_score')) }}
{%- endmacro %}


{# One of these functions as it reads the release before: find_previous_videos of find_videos. #}
{% macro of_previous_release(text) -%}
    {%- set changed = namespace(text=text) -%}
    {%- for name in of_both_releases() -%}
        {%- set changed.text = changed.text | replace('two_tower.' ~ name ~ '(', 'two_tower.' ~ name.replace('_', '_previous_') ~ '(') -%}
    {%- endfor -%}
{{ changed.text
    | replace('two_tower.serving_release()', 'two_tower.serving_release(true)')
    | replace('public.user_embeddings', 'public.user_embeddings_previous')
    | replace('public.video_embeddings', 'public.video_embeddings_previous') }}
{%- endmacro %}


{# Whether this build is of the schema that the app reads. `two-tower evaluate --protocol` builds its splits in other schemas. #}
{% macro is_served() -%}
    {{ return(env_var('TWO_TOWER_SCHEMA', target.schema) == 'two_tower') }}
{%- endmacro %}


{# On run end: creates the functions in each build, so that they are there before anything is released, and as this version has them. #}
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
