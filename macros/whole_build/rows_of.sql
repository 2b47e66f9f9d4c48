{#
    An expression: a checksum of the rows of these nodes, which changes whenever a row is written or removed, by whoever it was.
    read: sources; one that is not there counts as an empty one. made: models, of which their definition counts too.
#}
{% macro rows_of(read, made) -%}
    {{ return(adapter.dispatch('rows_of')(read, made)) }}
{%- endmacro %}

{% macro postgres__rows_of(read, made) -%}
    two_tower.rows_of({{ array_of_names(read) }}, {{ array_of_names(made) }})
{%- endmacro %}

{% macro array_of_names(nodes) -%}
    array[
        {%- for node in nodes -%}
        '{{ quoted_name(node) }}'{{ ', ' if not loop.last }}
        {%- endfor -%}
    ]::text[]
{%- endmacro %}

{% macro quoted_name(node) -%}
    "{{ node.schema }}"."{{ node.identifier or node.alias }}"
{%- endmacro %}

{# DuckDB's rows name no transaction, and an update may leave them in their place: they are hashed. #}
{% macro duckdb__rows_of(read, made) -%}
    {%- set there = run_query("select schema_name || '.' || table_name from duckdb_tables()").columns[0].values() -%}
    {%- set views = run_query("select schema_name || '.' || view_name from duckdb_views() where not internal").columns[0].values() -%}
    (
        select md5(string_agg(relation || '=' || found, ';' order by relation))
        from (
            {%- for node in read + made %}
            {%- set name = node.schema ~ '.' ~ (node.identifier or node.alias) %}
            select
                '{{ name }}' as relation,
                {%- if name in there or (name in views and node in read) %}
                concat_ws(':', nullif(count(*), 0), sum(hash(r))) as found
            from {{ quoted_name(node) }} as r
                {%- else %}
                '' as found
                {%- endif %}
            union all
            {%- endfor %}
            select 'definitions' as relation, {{ definitions_of(read, made) if made else "''" }} as found
        ) as relations
    )
{%- endmacro %}

{# Of DuckDB: a text that changes with the columns of these nodes, and with the SQL of views and macros. #}
{% macro definitions_of(read, made) -%}
    {%- set names = [] -%}
    {%- for node in read + made -%}
        {%- do names.append("'" ~ node.schema ~ '.' ~ (node.identifier or node.alias) ~ "'") -%}
    {%- endfor -%}
    concat_ws(
        ':',
        (
            select sum(hash(row(schema_name, table_name, column_name, data_type))) from duckdb_columns()
            where schema_name || '.' || table_name in ({{ names | join(', ') }})
        ),
        (
            select sum(hash(row(schema_name, view_name, sql))) from duckdb_views()
            where schema_name || '.' || view_name in ({{ names | join(', ') }})
        ),
        (
            select sum(hash(row(schema_name, function_name, macro_definition))) from duckdb_functions()
            where schema_name in ('public', 'two_tower') and function_name <> 'rows_of_build'
        )
    )
{%- endmacro %}


{# On Postgres: creates the function that looks at rows. #}
{% macro make_rows_of() -%}
    {{ return(adapter.dispatch('make_rows_of')()) }}
{%- endmacro %}

{% macro default__make_rows_of() -%}
{%- endmacro %}

{% macro postgres__make_rows_of() -%}
    {{ sql_file('rows_of') }}
    revoke execute on function two_tower.rows_of(text[], text[]) from public;
{%- endmacro %}


{# Creates two_tower.rows_of_build(): the checksum of what a build read and made. #}
{% macro make_rows_of_build(read, made) -%}
    {{ return(adapter.dispatch('make_rows_of_build')(read, made)) }}
{%- endmacro %}

{% macro postgres__make_rows_of_build(read, made) -%}
    create or replace function two_tower.rows_of_build() returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
    as $$ select {{ rows_of(read, made) }} $$;
    revoke execute on function two_tower.rows_of_build() from public
{%- endmacro %}

{% macro duckdb__make_rows_of_build(read, made) -%}
    create or replace macro two_tower.rows_of_build() as {{ rows_of(read, made) }}
{%- endmacro %}
