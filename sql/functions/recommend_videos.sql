-- The nearest videos to a user's vector, but for those that the user has seen; where there are none, the most popular.
-- The tables are read by name at each call, so this follows a swap; it is one STABLE statement, so it sees one release
-- or the other. similar_videos and recommend_for_vector search alike: a test compares the three.
--
-- The excluded are filtered after the search, which is asked for that many more: a filter inside would starve an
-- approximate scan and cost an exact one a comparison for each row and excluded video. A scan that goes on after the
-- probed lists finds nearer videos after farther ones: `+ 0` keeps the planner from taking them to be in order, and
-- from stopping early.

-- Only a session that has loaded pgvector knows its settings, and only then may others than a superuser name them.
do $$ begin perform '[1]'::extensions.halfvec; end $$;

create or replace function public.recommend_videos(
    p_user_id text, p_limit integer default 20, p_exclude_seen boolean default true
)
returns table (video_id uuid, score double precision, rank integer)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set "ivfflat.iterative_scan" = 'relaxed_order'
as $$
with asked as materialized (
    -- The id as it is stored: macro text_value.
    select
        regexp_replace(
            normalize(p_user_id, nfc),
            '^[\u0001-\u0020\u007f-\u00a0\u00ad-\u00ad\u034f-\u034f\u061c-\u061c\u115f-\u1160'
            '\u1680-\u1680\u17b4-\u17b5\u180e-\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f'
            '\u3000-\u3000\u3164-\u3164\ufeff-\ufeff\uffa0-\uffa0\ufff9-\ufffb]+'
            '|[\u0001-\u0020\u007f-\u00a0\u00ad-\u00ad\u034f-\u034f\u061c-\u061c\u115f-\u1160'
            '\u1680-\u1680\u17b4-\u17b5\u180e-\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f'
            '\u3000-\u3000\u3164-\u3164\ufeff-\ufeff\uffa0-\uffa0\ufff9-\ufffb]+$',
            '', 'g'
        ) as user_id
),

query as materialized (
    select
        (
            select u.embedding from public.user_embeddings as u
            where u.user_id = (select asked.user_id from asked)
        ) as embedding,
        array(
            select i.item_id from two_tower.interactions as i
            where p_exclude_seen and i.user_id = (select asked.user_id from asked)
        ) as excluded,
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
