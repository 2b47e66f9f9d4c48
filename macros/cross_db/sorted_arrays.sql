{#
    A select of one row per `key` with parallel arrays: `arrays` maps the name of each array to its column. All are
    sorted by these columns, in the order given. DuckDB sorts anew for each ordered array_agg, Postgres once for
    all: there one sort of structs takes half the time.
#}
{% macro sorted_arrays(relation, key, arrays) -%}
    {{ return(adapter.dispatch('sorted_arrays')(relation, key, arrays)) }}
{%- endmacro %}

{% macro default__sorted_arrays(relation, key, arrays) -%}
    select
        {{ key }}
        {%- for name, column in arrays.items() %},
        array_agg({{ column }} order by {{ arrays.values() | join(', ') }}) as {{ name }}
        {%- endfor %}
    from {{ relation }}
    group by {{ key }}
{%- endmacro %}

{% macro duckdb__sorted_arrays(relation, key, arrays) -%}
    select
        {{ key }}
        {%- for name in arrays %},
        list_transform(sorted, lambda entry: entry.{{ name }}) as {{ name }}
        {%- endfor %}
    from (
        select
            {{ key }},
            list_sort(array_agg(struct_pack(
                {%- for name, column in arrays.items() %}{{ name }} := {{ column }}{{ ', ' if not loop.last }}{% endfor -%}
            ))) as sorted
        from {{ relation }}
        group by {{ key }}
    ) as lists
{%- endmacro %}
