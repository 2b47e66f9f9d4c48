-- Who used to review a lot and has stopped?
--
-- Users with ten reviews or more and none in the 90 days before as_of, the most active of old first. Their taste is
-- known, so a mail with recommend_videos(user_id) costs one query each.
select
    users.user_id,
    users.review_count,
    users.like_count,
    users.last_reviewed_at::date as last_reviewed_on,
    extract(day from int_as_of.as_of - users.last_reviewed_at)::integer as days_silent
from two_tower.users
cross join two_tower.int_as_of
where
    users.review_count >= 10
    and users.last_reviewed_at < int_as_of.as_of - interval '90 days'
order by
    users.review_count desc,
    users.user_id collate "C"
limit 50;
