-- How much does the search find of what an exact one would, at each release?
select release_id, version, released_at, index_recall, is_exact, probes, lists, video_count, user_count
from two_tower.model_releases
order by release_id desc
limit 20;
