-- The people whose taste is nearest to a person's.

-- Only a session that has loaded pgvector knows its settings, and only then may others than a superuser name them.
do $$ begin perform '[1]'::extensions.halfvec; end $$;

create or replace function public.similar_users(p_user_id text, p_limit integer default 20)
returns table (user_id text, score double precision, rank integer)
language sql stable security definer parallel safe rows 20
set search_path = pg_catalog, pg_temp
set jit = off
set "ivfflat.iterative_scan" = 'relaxed_order'
as $$
with asked as materialized (
    select two_tower.text_value(p_user_id) as user_id, two_tower.check_bounds(p_limit, 0, null)
),

query as materialized (
    select two_tower.user_vector(asked.user_id) as embedding from asked
),

nearest as materialized (
    select u.user_id, u.embedding operator(extensions.<=>) (select query.embedding from query) as distance
    from public.user_embeddings as u
    where u.user_id <> (select asked.user_id from asked) and (select query.embedding is not null from query)
    order by u.embedding operator(extensions.<=>) (select query.embedding from query)
    limit 4 * coalesce(p_limit, 20)
)

select n.user_id, 1 - n.distance, (row_number() over (order by n.distance + 0, n.user_id))::integer
from nearest as n
order by 3
limit coalesce(p_limit, 20)
$$;
