-- With each user's last like held out, what the same user reviewed later may not train either.
{{ config(enabled=var('split_strategy') == 'leave_last_out') }}

with reviews as (
    select
        splits.user_id,
        splits.split,
        reviews.occurred_at
    from {{ ref('interaction_splits') }} as splits
    inner join {{ ref('int_reviews') }} as reviews
        on splits.user_id = reviews.user_id and splits.item_id = reviews.video_id
)

select
    user_id,
    max(occurred_at) filter (where split = 'train') as last_trained_at,
    min(occurred_at) filter (where split = 'valid') as first_held_out_at
from reviews
group by user_id
having max(occurred_at) filter (where split = 'train') > min(occurred_at) filter (where split = 'valid')
