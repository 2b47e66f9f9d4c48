with reviews as (
    select product_url
    from {{ ref('stg_reviews') }}
),

-- One video per page: with two, the page's reviews would count twice.
pages as (
    select
        canonical_url,
        video_id
    from {{ ref('int_videos') }}
    where is_first_of_page and canonical_url is not null
),

-- Grouped before any regular expression runs: the URLs are few, the reviews many.
urls as (
    select
        product_url,
        count(*) as review_count
    from reviews
    group by product_url
),

readable as materialized (
    select
        product_url,
        {{ readable_url('product_url') }} as readable_url,
        review_count
    from urls
),

canonical_urls as (
    select
        product_url,
        {{ canonical_url('readable_url') }} as canonical_url,
        review_count
    from readable
)

select
    canonical_urls.product_url,
    canonical_urls.canonical_url,
    pages.video_id,
    canonical_urls.review_count
from canonical_urls
left join pages
    on canonical_urls.canonical_url = pages.canonical_url
