-- What a cold user shows to the model must be as many likes as the row says, and none that the model should find.
select shown.user_id, shown.like_count, shown.item_numbers, users.target_item_numbers
from {{ ref('evaluation_cold_users') }} as shown
left join {{ ref('evaluation_users') }} as users on users.user_id = shown.user_id
where
    users.user_id is null
    or shown.item_numbers && users.target_item_numbers
    or {{ array_size('shown.item_numbers') }} != shown.like_count
