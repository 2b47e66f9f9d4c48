-- A video that the user reviewed in training is not ranked, so it could never be found as a target.
select user_id, train_item_numbers, target_item_numbers
from {{ ref('evaluation_users') }}
where train_item_numbers && target_item_numbers
