{#
    A moment given as a var, as a UTC timestamp. Parsed here because the engines disagree on a string with an
    offset: Postgres drops the offset, DuckDB applies it.
#}
{% macro utc_timestamp(value) -%}
    {%- set moment = modules.datetime.datetime.fromisoformat(value | string) -%}
    {%- if moment.tzinfo is not none -%}
        {%- set moment = moment.astimezone(modules.pytz.utc) -%}
    {%- endif -%}
    timestamp '{{ moment.strftime('%Y-%m-%d %H:%M:%S.%f') }}'
{%- endmacro %}


{# When this command began, as a UTC timestamp: every event in the build is older. #}
{% macro build_started_at() -%}
    {{ utc_timestamp(run_started_at) }}
{%- endmacro %}


{# A moment with a time zone as a UTC timestamp. DuckDB's tables have no other: for `at time zone` it needs an extension. #}
{% macro in_utc(column) -%}
    {{ return(adapter.dispatch('in_utc')(column)) }}
{%- endmacro %}

{% macro postgres__in_utc(column) -%}
    {{ column }}::timestamptz at time zone 'utc'
{%- endmacro %}

{% macro duckdb__in_utc(column) -%}
    {{ column }}::timestamp
{%- endmacro %}
