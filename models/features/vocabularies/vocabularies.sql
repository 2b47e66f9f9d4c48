{{ config(materialized='view') }}

{% for vocabulary in layout_vocabularies() %}
select
    cast('{{ vocabulary }}' as text) as vocabulary,
    token,
    index,
    added_at
from {{ ref('vocab_' ~ vocabulary) }}
{{ 'union all' if not loop.last }}
{% endfor %}
