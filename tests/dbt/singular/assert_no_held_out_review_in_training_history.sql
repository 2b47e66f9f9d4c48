-- The history that the model is trained on must not hold a review that it is then asked to predict.
with history as (
    select user_id, unnest(reviewed_video_ids) as video_id
    from {{ ref('training_user_features') }}
    union all
    select user_id, unnest(liked_video_ids) as video_id
    from {{ ref('training_user_features') }}
)

select history.user_id, history.video_id
from history
inner join {{ ref('interaction_splits') }} as splits
    on splits.user_id = history.user_id and splits.item_id = history.video_id
where splits.split != 'train'
