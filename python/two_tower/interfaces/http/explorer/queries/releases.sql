-- The last two releases: what serves, and what served before it.
select release_id, version, released_at, is_rollback
from two_tower.model_releases
order by release_id desc
limit 2;
