{{ config(indexes=lookup_indexes(['video_id'])) }}

with videos as (
    select * from {{ ref('videos') }}
),

titles as (
    select
        video_id,
        array_agg(token order by {{ byte_order('token') }}) as tokens
    from {{ ref('int_title_tokens') }}
    group by video_id
)

select
    videos.video_id,
    videos.source,
    videos.maker,
    videos.label,
    videos.series,
    videos.tag_ids,
    videos.performer_ids,
    videos.price,
    {{ release_year('videos.released_on') }} as release_year,
    coalesce(titles.tokens, cast(array[] as text[])) as title_tokens
from videos
left join titles on titles.video_id = videos.video_id
