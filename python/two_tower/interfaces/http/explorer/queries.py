"""What the pages read besides the calls of ``/v1``, and the SQL of it.

All of it is for services alone: it names people, or reads more than an app's lists show.
"""

from __future__ import annotations

# Of those whose id begins as typed, or of everybody, who has reviewed most.
PEOPLE = """
select user_id, review_count, like_count, last_reviewed_at
from two_tower.users
where starts_with(user_id, %(q)s)
order by user_id = %(q)s desc, review_count desc, user_id
limit 12
"""

PERSON = """
with asked as (select two_tower.text_value(%(user_id)s) as user_id)
select
    a.user_id, coalesce(u.review_count, 0) as review_count, coalesce(u.like_count, 0) as like_count,
    u.last_reviewed_at, two_tower.user_vector(a.user_id) is not null as has_vector,
    (select to_jsonb(x) from two_tower.variant_of(a.user_id) as x) as variant
from asked as a
left join two_tower.users as u on u.user_id = a.user_id
"""

# The newest of each video: what the app has recorded counts in interactions after the next build.
HISTORY = """
with asked as (select two_tower.text_value(%(user_id)s) as user_id),

done as (
    (
        select i.item_id as video_id, i."timestamp" as at, 'review' as kind, i.weight * 5 as stars,
            i.label = 1 as is_liked
        from two_tower.interactions as i
        where i.user_id = (select user_id from asked)
        order by i."timestamp" desc nulls last
        limit 200
    )
    union all
    (
        select e.video_id, e.happened_at at time zone 'utc', e.kind, null, e.kind in ('like', 'purchase')
        from two_tower.events as e
        where e.user_id = (select user_id from asked) and e.kind <> 'impression'
        order by e.happened_at desc
        limit 200
    )
),

latest as (
    select distinct on (video_id) * from done order by video_id, kind = 'review', at desc nulls last
)

select l.*, v.title, v.thumbnail_url, v.maker
from latest as l
inner join two_tower.videos as v on v.video_id = l.video_id
order by l.at desc nulls last, l.video_id
limit 120
"""

# What recommend_videos asks of the serving release, and of the one before it.
TWO_LISTS = """
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
order by 1, rank
"""

# Of the sample of videos: counting a whole catalogue would take seconds.
CHOICES = """
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
)
"""

VIDEOS = """
select v.video_id, v.title, v.thumbnail_url, v.maker
from two_tower.videos as v
left join two_tower.popularity as p on p.video_id = v.video_id
where position(lower(%(q)s) in lower(v.title)) > 0 or v.video_id::text = lower(%(q)s)
order by p.popularity_rank, v.video_id
limit 12
"""

VIDEO = """
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
where v.video_id = %(video_id)s
"""

LIKERS = """
select i.user_id, i.weight * 5 as stars, i."timestamp" as at
from two_tower.interactions as i
where i.item_id = %(video_id)s and i.label = 1
order by i."timestamp" desc nulls last, i.user_id
limit 20
"""

# The last two rows of the history: what serves, and what a rollback would serve.
RELEASES = """
select release_id, version, released_at, is_rollback
from two_tower.model_releases
order by release_id desc
limit 2
"""

HISTORY_OF_RELEASES = """
select release_id, version, released_at, is_rollback, index_recall, video_count, user_count
from two_tower.model_releases
order by release_id desc
limit 50
"""

METRICS = """
select run_id as version, metric, value, lower, upper
from two_tower.evaluation_metrics
where model = 'two_tower' and slice = 'overall' and value is not null and position('/' in run_id) = 0
order by run_id desc, metric
"""

# The first 20 videos of a hundred users whom both releases know.
CHANGES = """
with people as (
    select s.user_id
    from public.user_embeddings as s
    inner join public.user_embeddings_previous as p on p.user_id = s.user_id
    order by md5(s.user_id)
    limit 100
),

lists as (
    select
        array(
            select f.video_id
            from two_tower.find_videos(two_tower.user_vector(u.user_id), 'model', 20, 0, u.user_id, true, '{}', '{}', 0, 0) as f
            order by f.rank
        ) as serving,
        array(
            select f.video_id
            from two_tower.find_previous_videos(
                two_tower.user_previous_vector(u.user_id), 'model', 20, 0, u.user_id, true, '{}', '{}', 0, 0
            ) as f
            order by f.rank
        ) as previous
    from people as u
)

select
    count(*) as users,
    avg(
        cardinality(array(select unnest(serving) intersect select unnest(previous)))::double precision
        / nullif(cardinality(serving), 0)
    ) as same_share,
    avg((serving[1] = previous[1])::integer)::double precision as same_first
from lists
"""
