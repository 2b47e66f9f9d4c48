-- The nearest videos to a vector, but for the excluded ones. The search is that of recommend_videos, which explains it.

-- Only a session that has loaded pgvector knows its settings, and only then may others than a superuser name them.
do $$ begin perform '[1]'::extensions.halfvec; end $$;

create or replace function public.recommend_for_vector(
    p_embedding extensions.halfvec, p_limit integer default 20, p_exclude uuid[] default '{}'
)
returns table (video_id uuid, score double precision, rank integer)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set "ivfflat.iterative_scan" = 'relaxed_order'
as $$
with query as materialized (
    select
        case when extensions.l2_norm(p_embedding) > 0 then p_embedding end as embedding,
        coalesce(array_remove(p_exclude, null), '{}') as excluded,
        greatest(coalesce(p_limit, 20), 0) as wanted
),

nearest as materialized (
    select v.video_id, v.embedding operator(extensions.<=>) (select query.embedding from query) as distance
    from public.video_embeddings as v
    where (select query.embedding is not null from query)
    order by v.embedding operator(extensions.<=>) (select query.embedding from query)
    -- The probed lists hold the nearest 20 of nearly everybody, but not the nearest 100: macro taken_for.
    limit (select 4::bigint * query.wanted + cardinality(query.excluded) from query)
),

personal as materialized (
    select nearest.video_id, 1 - nearest.distance as score
    from nearest
    where nearest.video_id <> all ((select query.excluded from query)::uuid[])
    order by nearest.distance + 0, nearest.video_id
    limit (select query.wanted from query)
),

popular as (
    select p.video_id, p.score
    from two_tower.popularity as p
    where not exists (select from personal)
        and (
            p.video_id <> all ((select query.excluded from query)::uuid[])
            or not exists (
                select from two_tower.popularity as other
                where other.video_id <> all ((select query.excluded from query)::uuid[])
            )
        )
    order by p.popularity_rank
    limit (select query.wanted from query)
)

select found.video_id, found.score, row_number() over (order by found.score desc, found.video_id)::integer as rank
from (
    select personal.video_id, personal.score from personal
    union all
    select popular.video_id, popular.score from popular
) as found
order by rank
$$;
