{{ config(indexes=[]) }}

-- By a hash of the id, so that the sample is the same on both engines and independent of the videos' attributes.
select
    video_id,
    source,
    maker,
    label,
    series,
    price,
    released_on,
    tag_ids,
    performer_ids
from {{ ref('videos') }}
order by md5(cast(video_id as text))
limit 2000
