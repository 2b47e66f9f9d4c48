{# Rows whose arrays are not all equally long. #}
{% test parallel_arrays(model, columns) %}
    select *
    from {{ model }}
    where
        {%- for column in columns[1:] %}
        {{ 'or ' if not loop.first }}{{ array_size(column) }} is distinct from {{ array_size(columns[0]) }}
        {%- endfor %}
{% endtest %}
