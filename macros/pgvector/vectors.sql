{# The Euclidean length of a vector. #}
{% macro vector_norm(column) -%}
    {{ return(adapter.dispatch('vector_norm')(column)) }}
{%- endmacro %}

{% macro postgres__vector_norm(column) -%}
    {{ pgvector_schema() }}.l2_norm({{ column }})
{%- endmacro %}

{% macro duckdb__vector_norm(column) -%}
    sqrt(array_inner_product({{ column }}, {{ column }}))::double precision
{%- endmacro %}


{# A query of one number: the squared length of the mean of unit vectors, which is the mean cosine of all their pairs. #}
{% macro mean_cosine_query(relation, column) -%}
    {{ return(adapter.dispatch('mean_cosine_query')(relation, column)) }}
{%- endmacro %}

{% macro postgres__mean_cosine_query(relation, column) -%}
    {%- set pgvector = pgvector_schema() -%}
    select power({{ pgvector }}.l2_norm({{ pgvector }}.avg({{ column }})), 2) as mean_cosine
    from {{ relation }}
{%- endmacro %}

{% macro duckdb__mean_cosine_query(relation, column) -%}
    select sum(mean * mean) as mean_cosine
    from (
        select avg({{ column }}[dims.dim]) as mean
        from {{ relation }}
        cross join range(1, 129) as dims (dim)
        group by dims.dim
    ) as means
{%- endmacro %}
