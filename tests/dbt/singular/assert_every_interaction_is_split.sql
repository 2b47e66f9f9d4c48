-- Interactions without a split, and splits without an interaction.
select
    coalesce(interactions.user_id, interaction_splits.user_id) as user_id,
    coalesce(interactions.item_id, interaction_splits.item_id) as item_id
from {{ ref('interactions') }} as interactions
full outer join {{ ref('interaction_splits') }} as interaction_splits
    on
        interactions.user_id = interaction_splits.user_id
        and interactions.item_id = interaction_splits.item_id
where interactions.user_id is null or interaction_splits.user_id is null
