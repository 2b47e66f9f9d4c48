-- depends_on: {{ ref('stg_reviews') }}
-- depends_on: {{ ref('stg_users') }}
-- depends_on: {{ ref('int_events') }}

-- Never later than the build: what the app records after as_of is newer than the features.
{% if var('as_of') -%}
select least({{ utc_timestamp(var('as_of')) }}, {{ build_started_at() }}) as as_of
{%- else -%}
-- From the data alone wherever a feature depends on it: the same data give the same features on any day.
with moments as (
    select reviewed_at
    from {{ ref('stg_reviews') }}
    union all
    select happened_at as reviewed_at
    from {{ ref('int_events') }}
    where stars is not null
)

select
    coalesce(
        max(moments.reviewed_at) filter (where moments.reviewed_at <= {{ build_started_at() }}),
        least((select max(users.signed_up_at) from {{ ref('stg_users') }} as users), {{ utc_timestamp(run_started_at.date()) }})
    ) as as_of
from moments
{%- endif %}
