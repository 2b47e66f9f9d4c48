-- The history of releases.
select release_id, version, released_at, is_rollback, index_recall, video_count, user_count
from two_tower.model_releases
order by release_id desc
limit 50;
