with reviews as (
    select product_url
    from {{ ref('stg_reviews') }}
),

videos as (
    select
        video_id,
        canonical_url
    from {{ ref('stg_videos') }}
    where canonical_url is not null
),

-- One page, one video: were two in the catalogue, its reviews would count twice.
pages as (
    select distinct on (canonical_url)
        canonical_url,
        video_id
    from videos
    order by
        canonical_url,
        video_id
),

-- Before any regular expression runs: the pages are few, the reviews many.
urls as (
    select
        product_url,
        count(*) as review_count
    from reviews
    group by product_url
),

canonical_urls as (
    select
        product_url,
        {{ canonical_url('product_url') }} as canonical_url,
        review_count
    from urls
)

select
    canonical_urls.product_url,
    canonical_urls.canonical_url,
    pages.video_id,
    canonical_urls.review_count
from canonical_urls
left join pages
    on canonical_urls.canonical_url = pages.canonical_url
