{#
    On run start: create the tables that the app writes to, before the first model reads them, and the partitions of
    the months ahead; delete the events of forgotten people.
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

{# The same columns on DuckDB. No app writes to a DuckDB file, so the tables are empty except in tests. #}
{% macro duckdb__make_events() -%}
    create schema if not exists two_tower;
    create table if not exists two_tower.events (
        event_id bigint, user_id text, video_id uuid, kind text, weight real, release_id bigint, rank integer, source text,
        experiment text, variant text, happened_at timestamp
    )
{%- endmacro %}
