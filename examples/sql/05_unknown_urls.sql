-- Which pages are reviewed but not in the catalogue?
--
-- Those with many reviews are worth adding: nothing that is said about them reaches the model. share is of all
-- reviews that were loaded; cumulative_share shows how far the first pages of this list would carry you.
with totals as (
    select sum(rows_loaded) as review_count
    from two_tower.load_reconciliation
)

select
    unknown_product_urls.canonical_url,
    unknown_product_urls.product_url as written_for_example,
    unknown_product_urls.review_count,
    round((unknown_product_urls.review_count::numeric(18, 6) / totals.review_count), 4) as share,
    round(
        (
            sum(unknown_product_urls.review_count) over (
                order by
                    unknown_product_urls.review_count desc,
                    unknown_product_urls.canonical_url collate "C"
            )
        )::numeric(18, 6) / totals.review_count, 4
    ) as cumulative_share
from two_tower.unknown_product_urls
cross join totals
order by
    unknown_product_urls.review_count desc,
    unknown_product_urls.canonical_url collate "C"
limit 50;
