-- Videos for a vector that the caller has computed with the serving model.
create or replace function public.recommend_for_vector(
    p_embedding extensions.halfvec, p_limit integer default 20, p_exclude uuid[] default '{}',
    p_filter jsonb default '{}'
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text
)
language sql stable security definer parallel safe rows 20
set search_path = pg_catalog, pg_temp
as $$
select f.video_id, f.score, f.rank, f.source, f.release_id, f.title, f.thumbnail_url, f.product_url
from two_tower.find_videos(
    p_embedding, 'model', p_limit, 0, null, false, two_tower.checked_ids(p_exclude, 'p_exclude', 10000), p_filter, 0, 0
) as f
$$;
