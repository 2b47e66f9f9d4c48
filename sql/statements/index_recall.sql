-- The share of the videos of exact_distances that the index finds, by the search of recommend_videos. A video as near
-- as the 20th counts as found, so that ties do not matter. `set ivfflat.probes` comes before it.
set enable_indexscan = on;

set enable_seqscan = off;

set "ivfflat.iterative_scan" = 'relaxed_order';

with found as (
    select
        exact.video_count,
        (
            select count(*)
            from (
                select taken.distance
                from (
                    select v.embedding operator (extensions.<=>) exact.embedding as distance
                    from two_tower.video_embeddings_next as v
                    order by v.embedding operator (extensions.<=>) exact.embedding
                    limit 4::bigint * 20
                ) as taken
                order by taken.distance + 0
                limit 20
            ) as nearest
            where nearest.distance <= exact.farthest + 1e-9
        ) as found_count
    from pg_temp.exact_distances as exact
)

select sum(found.found_count)::double precision / sum(found.video_count) as recall
from found;
