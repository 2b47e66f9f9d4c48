-- Videos by a part of their title, or by their id.
select v.video_id, v.title, v.thumbnail_url, v.maker
from two_tower.videos as v
left join two_tower.popularity as p on p.video_id = v.video_id
where position(lower(%(q)s) in lower(v.title)) > 0 or v.video_id::text = lower(%(q)s)
order by p.popularity_rank, v.video_id
limit 12;
