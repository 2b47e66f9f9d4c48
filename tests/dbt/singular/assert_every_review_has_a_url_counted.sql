-- Reviews in, reviews out: matching by URL neither drops a review nor counts one twice.
with loaded as (
    select count(*) as review_count
    from {{ ref('stg_reviews') }}
),

matched as (
    select coalesce(sum(review_count), 0)::bigint as review_count
    from {{ ref('int_review_urls') }}
)

select
    loaded.review_count as loaded_count,
    matched.review_count as matched_count
from loaded
cross join matched
where loaded.review_count != matched.review_count
