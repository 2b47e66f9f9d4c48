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
