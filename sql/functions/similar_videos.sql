-- Videos similar to a given one, without it; for a user, also without those that they have seen.
create or replace function public.similar_videos(
    p_video_id uuid, p_limit integer default 20, p_filter jsonb default '{}', p_exclude uuid[] default '{}',
    p_diversity double precision default 0, p_offset integer default 0, p_user_id text default null
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
    (select v.embedding from public.video_embeddings as v where v.video_id = p_video_id), 'model', p_limit, p_offset,
    case when p_user_id is not null then two_tower.known_person(p_user_id) end, true,
    two_tower.checked_ids(p_exclude, 'p_exclude', 10000) || p_video_id, p_filter, p_diversity, 0
) as f
$$;
