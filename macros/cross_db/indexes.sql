{#
    Config `indexes` for lookups, on Postgres only: DuckDB scans a column faster than it maintains an index.
    Each argument is one index, a list of its columns. The first is unique: the table's key. `arrays` are
    columns of which single elements are looked up.
#}
{% macro lookup_indexes(key) -%}
    {%- set indexes = [{'columns': key, 'unique': true}] -%}
    {%- for columns in varargs -%}
        {%- do indexes.append({'columns': columns}) -%}
    {%- endfor -%}
    {%- for column in kwargs.get('arrays', []) -%}
        {%- do indexes.append({'columns': [column], 'type': 'gin'}) -%}
    {%- endfor -%}
    {{ return(indexes if target.type == 'postgres' else []) }}
{%- endmacro %}
