with slots as (
    {{ feature_slots(ref('int_cold_user_features'), 'user', 'user_id') }}
),

items as (
    select video_id, item_number from {{ ref('item_feature_slots') }}
),

shown as (
    select
        events.case_id,
        events.user_id,
        events.like_count,
        array_agg(items.item_number order by items.item_number) as item_numbers
    from {{ ref('int_cold_user_events') }} as events
    inner join items on items.video_id = events.video_id
    group by events.case_id, events.user_id, events.like_count
),

measured as (
    select user_id from {{ ref('evaluation_users') }}
)

select
    shown.user_id,
    cast(shown.like_count as integer) as like_count,
    slots.feature_ids,
    slots.indices,
    slots.values,
    shown.item_numbers
from shown
inner join slots on slots.user_id = shown.case_id
inner join measured on measured.user_id = shown.user_id
