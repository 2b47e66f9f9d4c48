{# Keys that only one of the two models has. #}
{% test same_keys_as(model, column_name, to, field) %}

select
    here.{{ column_name }} as found_here,
    there.{{ field }} as found_there
from {{ model }} as here
full outer join {{ to }} as there
    on here.{{ column_name }} = there.{{ field }}
where here.{{ column_name }} is null or there.{{ field }} is null

{% endtest %}
