-- depends_on: {{ ref('stg_reviews') }}

{% if var('as_of') -%}
select {{ utc_timestamp(var('as_of')) }} as as_of
{%- else -%}
select coalesce(max(reviewed_at), {{ utc_timestamp(run_started_at.date()) }}) as as_of
from {{ ref('stg_reviews') }}
{%- endif %}
