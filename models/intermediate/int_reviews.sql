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

events as (
    select
        event_id,
        user_id,
        video_id,
        kind,
        stars,
        happened_at
    from {{ ref('int_event_reviews') }}
    where outcome = 'counted'
),

-- Explicit feedback, from a file or from the app, takes precedence over implicit feedback.
every_one as (
    select
        reviews.user_id,
        urls.video_id,
        reviews.stars,
        reviews.reviewed_at,
        1 as says_so,
        reviews.file,
        reviews.line
    from reviews
    inner join urls
        on reviews.product_url = urls.product_url
    union all
    select
        user_id,
        video_id,
        stars,
        happened_at as reviewed_at,
        case when kind in ('like', 'dislike', 'purchase') then 1 else 0 end as says_so,
        '' as file,
        event_id as line
    from events
),

-- A review later than as_of does not exist yet, so an earlier one of the same user for the same video counts.
known as (
    select
        every_one.user_id,
        every_one.video_id,
        every_one.stars,
        every_one.reviewed_at,
        coalesce(every_one.reviewed_at, moment.as_of) as occurred_at,
        every_one.says_so,
        every_one.file,
        every_one.line
    from every_one
    cross join moment
    where every_one.reviewed_at is null or every_one.reviewed_at <= moment.as_of
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
                says_so desc,
                occurred_at desc,
                {{ byte_order('file') }} desc,
                line desc nulls last,
                stars desc
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
