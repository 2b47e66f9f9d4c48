-- The given videos, at most 1,000, ranked for a user; those without a vector come last.
create or replace function public.rank_videos(
    p_user_id text, p_video_ids uuid[]
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text
)
language sql stable security definer parallel safe rows 100
set search_path = pg_catalog, pg_temp
as $$
select f.video_id, f.score, f.rank, f.source, f.release_id, f.title, f.thumbnail_url, f.product_url
from (select coalesce(two_tower.checked_ids(p_video_ids, 'p_video_ids', 1000), '{}') as video_ids) as given
cross join lateral two_tower.recommend(
    two_tower.text_value(p_user_id), cardinality(given.video_ids), false, jsonb_build_object('ids', given.video_ids),
    '{}', 0, 0, 0
) as f
$$;
