-- What is known of a video.
select
    v.video_id, v.title, v.thumbnail_url, v.product_url, v.source, v.maker, v.label, v.series, v.price, v.released_on,
    p.popularity_rank, p.review_count, p.like_count,
    array(
        select coalesce(n.name, t.tag_id) from unnest(v.tag_ids) with ordinality as t (tag_id, place)
        left join two_tower.stg_tags as n on n.tag_id = t.tag_id order by t.place
    ) as tags,
    array(
        select coalesce(n.name, t.performer_id) from unnest(v.performer_ids) with ordinality as t (performer_id, place)
        left join two_tower.stg_performers as n on n.performer_id = t.performer_id order by t.place
    ) as performers,
    exists (select from two_tower.hidden_videos as h where h.video_id = v.video_id) as is_hidden
from two_tower.videos as v
left join two_tower.popularity as p on p.video_id = v.video_id
where v.video_id = %(video_id)s;
