{#
    On run start: creates the functions that exchange the served tables and keep the grants (sql/functions). They are in the
    database so that a rollback is one statement, from Python, psql or a SQL editor, without dbt.
    Suffixes of a pair of tables: '' is served, '_previous' was served before, '_next' is under audit.
#}
{% macro ensure_release_functions() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {{ return(adapter.dispatch('ensure_release_functions')()) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__ensure_release_functions() -%}
{%- endmacro %}

{% macro postgres__ensure_release_functions() -%}
    {%- do serving_tiers() -%}
    {%- if run_query("select to_regnamespace('two_tower') is null").columns[0].values()[0] -%}
        {%- do run_query('create schema two_tower') -%}
    {%- endif -%}
    {%- call statement('ensure_release_functions') -%}
        {{ create_release_functions() }}
    {%- endcall -%}
    {#- Committed here: dbt rolls back what its hooks leave open on run start. -#}
    {%- do adapter.commit() -%}
{%- endmacro %}

{% macro create_release_functions() -%}
    {% for name in (
        'app_functions', 'app_tables', 'granted_objects', 'wanted_grants', 'sync_policies', 'sync_api_role', 'sync_grants',
        'app_grants', 'assert_nothing_follows_old_tables', 'lock_served_tables', 'copy_privileges', 'rename_embeddings',
        'tune_search', 'publish_release', 'rollback_release',
    ) -%}
    {{ sql_file(name) }}
    {% endfor -%}
    revoke execute on all functions in schema two_tower from public
{%- endmacro %}


{# Post-hook of model_releases: replaces the served tables with the audited ones. #}
{% macro publish_release() -%}
    {{ return(adapter.dispatch('publish_release')()) }}
{%- endmacro %}

{% macro postgres__publish_release() -%}
    select two_tower.publish_release()
{%- endmacro %}

{# DuckDB cannot move a table to another schema. It has one writer and no server, so a copy in one transaction will do. #}
{% macro duckdb__publish_release() -%}
    {% for base in ('user_embeddings', 'video_embeddings') -%}
    create or replace table public.{{ base }}_previous as select * from public.{{ base }};
    create or replace table public.{{ base }} as select * from two_tower.{{ base }}_next;
    drop table two_tower.{{ base }}_next;
    {% endfor -%}
{%- endmacro %}
