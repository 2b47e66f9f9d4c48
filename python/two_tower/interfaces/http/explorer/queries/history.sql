-- What a person did, the newest of each video: an event counts in interactions after the next build.
with asked as (select two_tower.text_value(%(user_id)s) as user_id),

done as (
    select i.item_id as video_id, i."timestamp" as at, 'review' as kind, i.weight * 5 as stars,
        i.label = 1 as is_liked
    from two_tower.interactions as i
    where i.user_id = (select user_id from asked)
    union all
    select e.video_id, e.happened_at at time zone 'utc', e.kind, null, e.kind in ('like', 'purchase')
    from two_tower.events as e
    where e.user_id = (select user_id from asked) and e.kind <> 'impression'
),

latest as (
    select distinct on (video_id) * from done order by video_id, kind = 'review', at desc nulls last
)

select l.*, v.title, v.thumbnail_url, v.maker, count(*) over () as history_count
from latest as l
inner join two_tower.videos as v on v.video_id = l.video_id
order by l.at desc nulls last, l.video_id
limit 120;
