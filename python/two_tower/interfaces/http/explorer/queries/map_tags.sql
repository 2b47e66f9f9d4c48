-- Common tags, but for those of more than a third of the videos, which say nothing.
select t.tag_id as id, coalesce(min(n.name), t.tag_id) as name
from two_tower.video_sample as v
cross join lateral unnest(v.tag_ids) as t (tag_id)
left join two_tower.stg_tags as n on n.tag_id = t.tag_id
group by t.tag_id
having count(*) < (select count(*) from two_tower.video_sample) / 3.0
order by count(*) desc, t.tag_id limit 8;
