select
    canonical_url,
    min({{ byte_order('product_url') }}) as product_url,
    sum(review_count)::bigint as review_count
from {{ ref('int_review_urls') }}
where video_id is null
group by canonical_url
