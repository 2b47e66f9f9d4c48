select
    {% if var('as_of') -%}
        {{ utc_timestamp(var('as_of')) }} as as_of
    {%- else -%}
        coalesce(max(reviewed_at), {{ utc_timestamp(run_started_at.date()) }}) as as_of
    {%- endif %}
from {{ ref('stg_reviews') }}
