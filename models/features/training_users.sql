with reviews as (
    select * from {{ ref('int_split_reviews') }}
),

items as (
    select video_id, item_number from {{ ref('item_feature_slots') }}
),

features as (
    select * from {{ ref('training_user_feature_slots') }}
),

training_reviews as (
    select
        reviews.user_id,
        array_agg(items.item_number order by items.item_number) as item_numbers,
        array_agg(reviews.label order by items.item_number) as labels,
        array_agg(cast(reviews.weight as real) order by items.item_number) as weights,
        array_agg(reviews.fold order by items.item_number) as folds
    from reviews
    inner join items on items.video_id = reviews.video_id
    where reviews.split = 'train'
    group by reviews.user_id
)

select
    training_reviews.user_id,
    features.feature_ids,
    features.indices,
    features.values,
    training_reviews.item_numbers,
    training_reviews.labels,
    training_reviews.weights,
    training_reviews.folds
from training_reviews
inner join features on features.user_id = training_reviews.user_id
