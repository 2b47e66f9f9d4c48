-- Who likes a video, the latest first.
select i.user_id, i.weight * 5 as stars, i."timestamp" as at
from two_tower.interactions as i
where i.item_id = %(video_id)s and i.label = 1
order by i."timestamp" desc nulls last, i.user_id
limit 20;
