-- Training rows made after the split's moment. A review without a timestamp counts as made at as_of.
select
    splits.user_id,
    splits.item_id,
    reviews.occurred_at,
    moment.train_as_of
from {{ ref('interaction_splits') }} as splits
inner join {{ ref('int_reviews') }} as reviews
    on splits.user_id = reviews.user_id and splits.item_id = reviews.video_id
cross join {{ ref('int_as_of') }} as moment
where splits.split = 'train' and reviews.occurred_at > moment.train_as_of
