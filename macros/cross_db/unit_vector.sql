{# Whether an array has numbers alone: no null, no NaN, nothing infinite. #}
{% macro is_finite_array(column) -%}
    {{ return(adapter.dispatch('is_finite_array')(column)) }}
{%- endmacro %}

{% macro postgres__is_finite_array(column) -%}
    not exists (
        select from unnest({{ column }}) as each (value)
        where each.value is null or each.value in ('NaN', 'Infinity', '-Infinity')
    )
{%- endmacro %}

{% macro duckdb__is_finite_array(column) -%}
    (len(list_filter({{ column }}, lambda part: part is null or not isfinite(part))) = 0)
{%- endmacro %}


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
