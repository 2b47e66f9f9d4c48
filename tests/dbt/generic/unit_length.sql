{# Vectors that are not of length 1 within what half precision can keep: zero, infinite and NaN ones among them. #}
{% test unit_length(model, column_name) %}

select *
from {{ model }}
where
    {{ column_name }} is null
    or not coalesce({{ vector_norm(column_name) }} between 0.99 and 1.01, false)

{% endtest %}
