-- Makers and tags to filter by. Of the sample of videos: counting a whole catalogue would take seconds.
(
    select 'maker' as kind, maker as id, maker as name, count(*) as n
    from two_tower.video_sample where maker is not null group by maker order by n desc, maker limit 60
)
union all
(
    select 'tag', t.tag_id, coalesce(min(named.name), t.tag_id), count(*) as n
    from two_tower.video_sample as v
    cross join lateral unnest(v.tag_ids) as t (tag_id)
    left join two_tower.stg_tags as named on named.tag_id = t.tag_id
    group by t.tag_id order by n desc, t.tag_id limit 80
);
