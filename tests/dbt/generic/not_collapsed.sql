{# The mean cosine of any two vectors, where it is so high that the model tells nothing apart. #}
{% test not_collapsed(model, column_name) %}

with measured as (
    {{ mean_cosine_query(model, column_name) }}
)

select mean_cosine
from measured
where mean_cosine >= {{ var('mean_cosine_ceiling') }}

{% endtest %}
