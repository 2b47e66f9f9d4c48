-- What is known of a person, and whether they have a vector.
with asked as (select two_tower.text_value(%(user_id)s) as user_id)
select
    a.user_id, coalesce(u.review_count, 0) as review_count, coalesce(u.like_count, 0) as like_count,
    u.last_reviewed_at, two_tower.user_vector(a.user_id) is not null as has_vector,
    (select to_jsonb(x) from two_tower.variant_of(a.user_id) as x) as variant
from asked as a
left join two_tower.users as u on u.user_id = a.user_id;
