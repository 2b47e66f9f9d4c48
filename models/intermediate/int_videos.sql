with videos as (
    select * from {{ ref('stg_videos') }}
),

readable as materialized (
    select
        *,
        {{ readable_url('product_url') }} as readable_url
    from videos
),

canonical as (
    select
        *,
        nullif({{ canonical_url('readable_url') }}, '') as canonical_url
    from readable
),

-- A video without a page is the only one of its page.
numbered as (
    select
        *,
        row_number() over (
            partition by coalesce(canonical_url, video_id::text)
            order by video_id
        ) as place_on_page
    from canonical
)

select
    video_id,
    title,
    thumbnail_url,
    product_url,
    canonical_url,
    source,
    maker,
    label,
    series,
    price,
    released_on,
    place_on_page = 1 as is_first_of_page
from numbered
