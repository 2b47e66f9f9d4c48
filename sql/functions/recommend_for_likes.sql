-- Videos for a visitor who likes these. The query is visitor_vector of the likes. Nothing is stored.
create or replace function public.recommend_for_likes(
    p_video_ids uuid[], p_limit integer default 20, p_exclude_seen boolean default true, p_filter jsonb default '{}',
    p_exclude uuid[] default '{}', p_diversity double precision default 0, p_offset integer default 0
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text
)
language sql stable security definer parallel safe rows 20
set search_path = pg_catalog, pg_temp
as $$
select f.video_id, f.score, f.rank, f.source, f.release_id, f.title, f.thumbnail_url, f.product_url
from (select two_tower.checked_ids(p_video_ids, 'p_video_ids', 10000) as video_ids) as liked
cross join lateral two_tower.find_videos(
    two_tower.visitor_vector(liked.video_ids), 'likes', p_limit, p_offset, null, false,
    two_tower.checked_ids(p_exclude, 'p_exclude', 10000)
    || case when coalesce(p_exclude_seen, true) then liked.video_ids end,
    p_filter, p_diversity, 0
) as f
$$;
