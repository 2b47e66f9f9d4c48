-- depends_on: {{ ref('stg_reviews') }}
-- depends_on: {{ ref('stg_users') }}

{% if var('as_of') -%}
select {{ utc_timestamp(var('as_of')) }} as as_of
{%- else -%}
-- From the data alone wherever a feature depends on it: the same data give the same features on any day.
select
    coalesce(
        max(reviews.reviewed_at),
        least((select max(users.signed_up_at) from {{ ref('stg_users') }} as users), {{ utc_timestamp(run_started_at.date()) }})
    ) as as_of
from {{ ref('stg_reviews') }} as reviews
{%- endif %}
