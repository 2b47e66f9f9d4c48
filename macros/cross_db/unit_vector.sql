{# An array of numbers divided by its Euclidean length; null where that is 0. #}
{% macro unit_vector(column) -%}
    {{ return(adapter.dispatch('unit_vector')(column)) }}
{%- endmacro %}

{% macro postgres__unit_vector(column) -%}
    (
        select array_agg(cast(part.value / nullif(part.norm, 0) as real) order by part.place)
        from (
            select each.value, each.place, sqrt(sum(cast(each.value as double precision) * each.value) over ()) as norm
            from unnest({{ column }}) with ordinality as each (value, place)
        ) as part
        having max(part.norm) > 0
    )
{%- endmacro %}

{% macro duckdb__unit_vector(column) -%}
    case
        when list_inner_product({{ column }}::double[], {{ column }}::double[]) > 0
            then list_transform(
                {{ column }}::double[],
                lambda part: part / sqrt(list_inner_product({{ column }}::double[], {{ column }}::double[]))
            )::float[]
    end
{%- endmacro %}
