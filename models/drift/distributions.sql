{%- set sample = var('drift_sample') -%}

with users as (
    select
        cast(user_id as text) as id,
        feature_ids,
        indices,
        "values"
    from {{ ref('user_feature_slots') }}
    order by md5(user_id), user_id
    limit {{ sample }}
),

items as (
    select
        cast(video_id as text) as id,
        feature_ids,
        indices,
        "values"
    from {{ ref('item_feature_slots') }}
    order by md5(cast(video_id as text)), video_id
    limit {{ sample }}
),

slots as (
    select unnest(feature_ids) as feature_id, unnest(indices) as index, unnest("values") as value from users
    union all
    select unnest(feature_ids) as feature_id, unnest(indices) as index, unnest("values") as value from items
),

-- The id of a video has no distribution, and the numbers of a vector say nothing one by one.
layout as (
    select
        feature_id,
        tower,
        feature,
        kind,
        width
    from {{ ref('feature_layout') }}
    where kind not in ('identity', 'dense')
),

known as (
    select
        feature,
        max(width) as width
    from {{ released_distributions_of_serving() }} as released
    group by feature
),

-- Bins of a number: a quarter, which is a factor of 1.28 of a logarithm and a quarter of a share. Of tokens: the first
-- 50, which were the most frequent when the vocabulary was begun, and one bin for the rest.
binned as (
    select
        layout.tower,
        layout.feature,
        cast(
            case
                when layout.kind = 'numeric' then cast(floor(4 * slots.value) as integer)
                else least(slots.index, 50)
            end as text
        ) as bin,
        layout.width,
        case when layout.kind <> 'numeric' and slots.index >= known.width then 1 else 0 end as is_new
    from slots
    inner join layout on layout.feature_id = slots.feature_id
    left join known on known.feature = layout.feature
),

counted as (
    select
        tower,
        feature,
        bin,
        count(*) as row_count,
        sum(is_new) as new_count,
        width
    from binned
    group by tower, feature, bin, width
    union all
    select
        'reviews' as tower,
        'product_url' as feature,
        case when video_id is null then 'unknown' else 'known' end as bin,
        sum(review_count) as row_count,
        0 as new_count,
        0 as width
    from {{ ref('int_review_urls') }}
    group by 1, 2, 3
    union all
    select
        'score' as tower,
        'cosine' as feature,
        bin,
        row_count,
        0 as new_count,
        0 as width
    from ({{ served_score_bins() }}) as scores
)

select
    tower,
    feature,
    bin,
    cast(row_count as bigint) as row_count,
    cast(new_count as bigint) as new_count,
    cast(width as integer) as width
from counted
