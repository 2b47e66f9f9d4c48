{{ config(indexes=lookup_indexes(['video_id'])) }}

with videos as (
    select * from {{ ref('videos') }}
)

select
    video_id,
    source,
    maker,
    label,
    series,
    tag_ids,
    performer_ids,
    price,
    {{ release_year('released_on') }} as release_year
from videos
