-- depends_on: {{ ref('int_reviews') }}

with moment as (
    select as_of
    from {{ ref('int_moment') }}
),

{% if var('split_strategy') == 'temporal' -%}
reviews as (
    select reviewed_at
    from {{ ref('int_reviews') }}
    where reviewed_at is not null
),

-- Reviews without a timestamp say nothing about where the latest share begins.
cut as (
    select
        percentile_disc(1 - {{ var('valid_fraction') }}::double precision)
            within group (order by reviewed_at) as train_as_of
    from reviews
)
{%- else -%}
cut as (
    select as_of as train_as_of
    from moment
)
{%- endif %}

select
    moment.as_of,
    coalesce(cut.train_as_of, moment.as_of) as train_as_of,
    '{{ var('split_strategy') }}'::text as split_strategy,
    '{{ var('split_seed') | string | replace("'", "''") }}'::text as split_seed
from moment
cross join cut
