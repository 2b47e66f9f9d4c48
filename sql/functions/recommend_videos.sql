-- Videos for a user: the nearest to their vector, or popular ones where they have none.
create or replace function public.recommend_videos(
    p_user_id text, p_limit integer default 20, p_exclude_seen boolean default true, p_filter jsonb default '{}',
    p_exclude uuid[] default '{}', p_diversity double precision default 0, p_rotation double precision default 0,
    p_offset integer default 0
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text
)
language sql stable security definer parallel safe rows 20
set search_path = pg_catalog, pg_temp
as $$
select f.video_id, f.score, f.rank, f.source, f.release_id, f.title, f.thumbnail_url, f.product_url
from two_tower.recommend(
    two_tower.text_value(p_user_id), p_limit, p_exclude_seen, p_filter, p_exclude, p_diversity, p_rotation, p_offset
) as f
$$;
