-- depends_on: {{ ref('int_as_of') }}
{{ config(indexes=lookup_indexes(['user_id', 'item_id'])) }}

with reviews as (
    select
        user_id,
        video_id,
        stars >= {{ var('liked_from_stars') }} as is_liked,
        reviewed_at,
        occurred_at,
        {{ split_draw("user_id || ':' || video_id::text") }} as draw
    from {{ ref('int_reviews') }}
),

split_reviews as (
    {{ split_reviews('reviews') }}
),

numbered as (
    select
        user_id,
        video_id,
        split,
        row_number() over (partition by user_id, split order by {{ split_order() }}) - 1 as position,
        count(*) over (partition by user_id, split) as size
    from split_reviews
)

select
    user_id,
    video_id as item_id,
    split,
    case
        when split = 'train' then ({{ fold_of_position() }})::smallint
        when split = 'shown' then position::smallint
    end as fold
from numbered
