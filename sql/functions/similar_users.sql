-- The users whose vectors are nearest to a user's.

-- pgvector's settings exist once a session has loaded it; before that, only a superuser may name them.
do $$ begin perform '[1]'::extensions.halfvec; end $$;

create or replace function public.similar_users(p_user_id text, p_limit integer default 20)
returns table (user_id text, score double precision, rank integer)
language plpgsql stable security definer parallel safe rows 20
set search_path = pg_catalog, pg_temp
set jit = off
set "ivfflat.iterative_scan" = 'relaxed_order'
as $$
#variable_conflict use_column
declare
    asked constant text := two_tower.text_value(p_user_id);
    wanted constant integer := coalesce(p_limit, 20);
    vector constant extensions.halfvec := two_tower.user_vector(asked);
begin
    perform two_tower.check_bounds(p_limit, 0);
    if vector is null then
        return;
    end if;
    return query
    select n.user_id, 1 - n.distance, (row_number() over (order by n.distance + 0, n.user_id))::integer
    from (
        select u.user_id, u.embedding operator(extensions.<=>) vector as distance
        from public.user_embeddings as u
        where u.user_id <> asked
        order by u.embedding operator(extensions.<=>) vector
        limit 4 * wanted
    ) as n
    order by 3
    limit wanted;
end $$;
