{#
    On run start: the tables that the app writes to, before the first model reads them, partitions for the months ahead, and
    nothing of the people who were forgotten.
#}
{% macro make_events() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- call statement('make_events') -%}
            {{ adapter.dispatch('make_events')() }}
        {%- endcall -%}
        {#- Committed here: dbt rolls back what its hooks leave open on run start. -#}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro %}

{% macro postgres__make_events() -%}
    {% for name in (
        'text_value', 'served_versions', 'refuse_event_changes', 'check_experiment', 'make_events', 'make_event_partitions',
        'forget_events',
    ) -%}
    {{ sql_file(name) }}
    {% endfor -%}
    select two_tower.make_event_partitions(3, {{ var('events_kept_months') or 'null' }}), two_tower.forget_events()
{%- endmacro %}

{# The same columns. No app writes to a file of DuckDB, so they are empty but in tests. #}
{% macro duckdb__make_events() -%}
    create schema if not exists two_tower;
    create table if not exists two_tower.events (
        event_id bigint, user_id text, video_id uuid, kind text, weight real, release_id bigint, rank integer, source text,
        experiment text, variant text, happened_at timestamp
    )
{%- endmacro %}
