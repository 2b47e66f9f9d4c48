-- For a sample of the users, the distance of the 20th nearest video by exact search: what index_recall compares with.
-- The sample's size is a setting of the session: `set two_tower.index_recall_sample = 200`.
drop table if exists pg_temp.exact_distances;

set enable_indexscan = off;

create temporary table exact_distances as
with sample as (
    select
        u.user_id,
        u.embedding
    from two_tower.user_embeddings_next as u
    order by md5(u.user_id), u.user_id
    limit (select current_setting('two_tower.index_recall_sample')::bigint)
)

select
    sample.user_id,
    sample.embedding,
    max(nearest.distance) as farthest,
    count(*) as video_count
from sample
cross join lateral (
    select v.embedding operator (extensions.<=>) sample.embedding as distance
    from two_tower.video_embeddings_next as v
    order by v.embedding operator (extensions.<=>) sample.embedding
    limit 20
) as nearest
group by sample.user_id, sample.embedding;
