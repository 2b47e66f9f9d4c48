-- depends_on: {{ ref('int_as_of') }}
{{ config(indexes=lookup_indexes(['user_id', 'item_id'])) }}

{%- set seed = var('split_seed') | replace("'", "''") -%}

with reviews as (
    select
        user_id,
        video_id as item_id,
        reviewed_at,
        {{ hash_fraction("'" ~ seed ~ ":' || user_id || ':' || video_id::text") }} as draw
    from {{ ref('int_reviews') }}
),

{% if var('split_strategy') == 'temporal' -%}
-- A review without a timestamp counts as made at as_of, which is after the cut.
held_out as (
    select
        reviews.user_id,
        reviews.item_id,
        reviews.draw,
        reviews.reviewed_at is null or reviews.reviewed_at > cut.train_as_of as is_valid
    from reviews
    cross join {{ ref('int_as_of') }} as cut
),
{%- else -%}
ranked as (
    select
        user_id,
        item_id,
        draw,
        row_number() over (partition by user_id order by draw, item_id) as draw_rank,
        count(*) over (partition by user_id) as review_count
    from reviews
),

-- Rounded up or down by the user's own draw, so that the share holds on average at any number of reviews.
-- At least one review stays in train.
held_out as (
    select
        user_id,
        item_id,
        draw,
        draw_rank <= least(
            review_count - 1,
            floor(
                review_count * {{ var('valid_fraction') }}::double precision
                + {{ hash_fraction("'" ~ seed ~ ":' || user_id") }}
            )
        ) as is_valid
    from ranked
),
{%- endif %}

numbered as (
    select
        user_id,
        item_id,
        is_valid,
        row_number() over (partition by user_id, is_valid order by draw, item_id) - 1 as position
    from held_out
)

select
    user_id,
    item_id,
    case when is_valid then 'valid' else 'train' end as split,
    case when not is_valid then (position % 10)::smallint end as fold
from numbered
