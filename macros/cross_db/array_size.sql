{# Number of elements of an array: 0 for an empty one, for which array_length of Postgres is null. #}
{% macro array_size(column) -%}
    {{ return(adapter.dispatch('array_size')(column)) }}
{%- endmacro %}

{% macro default__array_size(column) -%}
    cardinality({{ column }})
{%- endmacro %}

{% macro duckdb__array_size(column) -%}
    len({{ column }})
{%- endmacro %}
