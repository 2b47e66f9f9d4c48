with reviews as (
    select
        file,
        line,
        product_url,
        user_id,
        stars,
        reviewed_at
    from {{ ref('stg_reviews') }}
),

moment as (
    select as_of
    from {{ ref('int_moment') }}
),

urls as (
    select
        product_url,
        video_id
    from {{ ref('int_review_urls') }}
    where video_id is not null
),

-- A review later than as_of is not there yet, so an earlier one of the same user for the same video counts.
known as (
    select
        reviews.user_id,
        urls.video_id,
        reviews.stars,
        reviews.reviewed_at,
        coalesce(reviews.reviewed_at, moment.as_of) as occurred_at,
        reviews.file,
        reviews.line
    from reviews
    inner join urls
        on reviews.product_url = urls.product_url
    cross join moment
    where reviews.reviewed_at is null or reviews.reviewed_at <= moment.as_of
),

-- A window, not `distinct on`, which takes five times as long on DuckDB.
ranked as (
    select
        user_id,
        video_id,
        stars,
        reviewed_at,
        occurred_at,
        row_number() over (
            partition by {{ byte_order('user_id') }}, video_id
            order by
                occurred_at desc,
                {{ byte_order('file') }} desc,
                line desc
        ) as recency
    from known
)

select
    user_id,
    video_id,
    stars,
    reviewed_at,
    occurred_at
from ranked
where recency = 1
