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
        items.item_number,
        reviews.label,
        cast(reviews.weight as real) as weight,
        cast({{ relevance('reviews.weight') }} as real) as relevance,
        reviews.fold,
        -- An import without timestamps often has the same one for all reviews, which gives no order.
        cast(
            case
                when min(reviews.timestamp) over of_user < max(reviews.timestamp) over of_user
                    and reviews.timestamp is not null
                    then row_number() over latest_first - 1
                else -1
            end as integer
        ) as recency_rank
    from reviews
    inner join items on items.video_id = reviews.video_id
    where reviews.split = 'train'
    window
        of_user as (partition by reviews.user_id),
        latest_first as (
            partition by reviews.user_id order by reviews.timestamp desc nulls last, reviews.video_id
        )
),

packed as (
    {{ sorted_arrays(
        'training_reviews',
        'user_id',
        {
            'item_numbers': 'item_number',
            'labels': 'label',
            'weights': 'weight',
            'relevances': 'relevance',
            'folds': 'fold',
            'recency_ranks': 'recency_rank',
        },
    ) }}
)

select
    packed.user_id,
    features.feature_ids,
    features.indices,
    features.values,
    packed.item_numbers,
    packed.labels,
    packed.weights,
    packed.relevances,
    packed.folds,
    packed.recency_ranks
from packed
inner join features on features.user_id = packed.user_id
