{{ config(
    indexes=lookup_indexes(
        ['video_id'], ['maker'], ['label'], ['series'], ['price'], ['released_on'], arrays=['tag_ids', 'performer_ids']
    ),
) }}

with videos as (
    select
        video_id,
        title,
        thumbnail_url,
        product_url,
        source,
        maker,
        label,
        series,
        price,
        released_on
    from {{ ref('int_videos') }}
    -- The page's other videos would show it again to a user who has seen it.
    where is_first_of_page
),

tags as (
    select
        video_id,
        array_agg(tag_id order by {{ byte_order('tag_id') }}) as tag_ids
    from {{ ref('stg_video_tags') }}
    group by video_id
),

performers as (
    select
        video_id,
        array_agg(performer_id order by {{ byte_order('performer_id') }}) as performer_ids
    from {{ ref('stg_video_performers') }}
    group by video_id
)

select
    videos.video_id,
    videos.title,
    videos.thumbnail_url,
    videos.product_url,
    videos.source,
    videos.maker,
    videos.label,
    videos.series,
    videos.price,
    videos.released_on,
    coalesce(tags.tag_ids, array[]::text[]) as tag_ids,
    coalesce(performers.performer_ids, array[]::text[]) as performer_ids
from videos
left join tags
    on videos.video_id = tags.video_id
left join performers
    on videos.video_id = performers.video_id
