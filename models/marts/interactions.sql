{{ config(indexes=lookup_indexes(['user_id', 'item_id'])) }}

select
    user_id,
    video_id as item_id,
    case when stars >= {{ var('liked_from_stars') }} then 1 else 0 end::smallint as label,
    stars / 5::double precision as weight,
    reviewed_at as timestamp
from {{ ref('int_reviews') }}
