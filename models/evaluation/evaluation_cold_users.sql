with slots as (
    {{ feature_slots(ref('int_cold_user_features'), 'user', 'user_id') }}
),

items as (
    select video_id, item_number from {{ ref('item_feature_slots') }}
),

shown as (
    select
        events.case_id,
        array_agg(items.item_number order by items.item_number) as item_numbers
    from {{ ref('int_cold_user_events') }} as events
    inner join items on items.video_id = events.video_id
    group by events.case_id
),

measured as (
    select user_id from {{ ref('evaluation_users') }}
)

select
    cases.user_id,
    cast(cases.like_count as integer) as like_count,
    slots.feature_ids,
    slots.indices,
    slots.values,
    coalesce(shown.item_numbers, cast(array[] as integer[])) as item_numbers
from {{ ref('int_cold_user_cases') }} as cases
inner join slots on slots.user_id = cases.case_id
inner join measured on measured.user_id = cases.user_id
left join shown on shown.case_id = cases.case_id
