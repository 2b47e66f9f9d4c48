-- Of those whose id begins as typed, or of everybody, who has reviewed most.
select user_id, review_count, like_count, last_reviewed_at
from two_tower.users
where starts_with(user_id, %(q)s)
order by user_id = %(q)s desc, review_count desc, user_id
limit 12;
