-- What recommend_videos asks of the serving release, and of the one before it.
select 'serving' as of_release, f.*
from two_tower.text_value(%(user_id)s) as a (user_id)
cross join lateral two_tower.find_videos(
    two_tower.user_vector(a.user_id), 'model', %(limit)s, 0, a.user_id, %(exclude_seen)s, '{}',
    %(filter)s::jsonb, %(diversity)s, %(rotation)s
) as f
union all
select 'previous', f.*
from two_tower.text_value(%(user_id)s) as a (user_id)
cross join lateral two_tower.find_previous_videos(
    two_tower.user_previous_vector(a.user_id), 'model', %(limit)s, 0, a.user_id, %(exclude_seen)s, '{}',
    %(filter)s::jsonb, %(diversity)s, %(rotation)s
) as f
order by 1, rank;
