-- How alike are the lists of both releases? The first 20 videos of a hundred users whom both know.
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
from lists;
