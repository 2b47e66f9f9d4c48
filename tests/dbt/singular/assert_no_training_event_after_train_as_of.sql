-- Nothing that happened after the split's moment may be known to the training features.
with history as (
    select user_id, unnest(reviewed_video_ids) as video_id
    from {{ ref('training_user_features') }}
    union all
    select user_id, unnest(liked_video_ids) as video_id
    from {{ ref('training_user_features') }}
)

select history.user_id, history.video_id, interactions.timestamp
from history
inner join {{ ref('interactions') }} as interactions
    on interactions.user_id = history.user_id and interactions.item_id = history.video_id
cross join {{ ref('int_as_of') }} as as_of
where interactions.timestamp > as_of.train_as_of
