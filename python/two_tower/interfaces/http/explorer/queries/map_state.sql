-- What the map is drawn of: xmin changes with each row that a refresh or a build writes, the oid with each table that a
-- build replaces.
select
    (
        select (count(*), sum(hashtextextended(xmin::text, 0)))::text from public.video_embeddings
    ) as vectors,
    (select (count(*), sum(hashtextextended(xmin::text, 0)))::text from two_tower.videos) as videos,
    'two_tower.popularity'::regclass::oid as popularity,
    'two_tower.video_sample'::regclass::oid as video_sample;
