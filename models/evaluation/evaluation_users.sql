{% set new_below, heavy_from = var('user_slice_bounds') %}

with reviews as (
    select * from {{ ref('int_split_reviews') }}
),

items as (
    select video_id, item_number from {{ ref('item_feature_slots') }}
),

per_user as (
    select
        reviews.user_id,
        count(*) filter (where reviews.split = 'train') as train_review_count,
        array_agg(items.item_number order by items.item_number)
            filter (where reviews.split in ('train', 'shown')) as train_item_numbers,
        array_agg(items.item_number order by items.item_number)
            filter (where reviews.split = 'valid' and reviews.label = 1) as target_item_numbers
    from reviews
    inner join items on items.video_id = reviews.video_id
    group by reviews.user_id
)

select
    user_id,
    coalesce(train_item_numbers, cast(array[] as integer[])) as train_item_numbers,
    target_item_numbers,
    cast(
        case
            when train_review_count < {{ new_below }} then 'new'
            when train_review_count < {{ heavy_from }} then 'light'
            else 'heavy'
        end as text
    ) as user_slice
from per_user
where target_item_numbers is not null
