-- The latest released videos, up to today.
create or replace function public.new_videos(
    p_limit integer default 20, p_filter jsonb default '{}', p_exclude uuid[] default '{}',
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
from two_tower.list_ranking('new', p_limit, p_offset, p_exclude, p_filter) as f
$$;
