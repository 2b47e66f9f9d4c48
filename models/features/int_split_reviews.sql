with interactions as (
    select * from {{ ref('interactions') }}
),

splits as (
    select * from {{ ref('interaction_splits') }}
)

select
    interactions.user_id,
    interactions.item_id as video_id,
    interactions.label,
    interactions.weight,
    interactions.timestamp,
    splits.split,
    splits.fold
from interactions
inner join splits on splits.user_id = interactions.user_id and splits.item_id = interactions.item_id
