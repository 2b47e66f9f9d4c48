-- The vectors, the most popular videos first, with what colours them: places in the lists of makers and of tags (0: in
-- none; the rarest tag counts), and days before the newest (-1: not known).
copy (
    select
        e.video_id, e.embedding,
        coalesce(array_position(%(makers)s::text[], v.maker), 0)::smallint,
        coalesce((
            select max(array_position(%(tags)s::text[], t.tag_id)) from unnest(v.tag_ids) as t (tag_id)
        ), 0)::smallint,
        coalesce((select max(released_on) from two_tower.videos) - v.released_on, -1)::integer
    from public.video_embeddings as e
    left join two_tower.videos as v on v.video_id = e.video_id
    left join two_tower.popularity as p on p.video_id = e.video_id
    order by p.popularity_rank, e.video_id
    limit %(points)s
) to stdout (format binary);
