-- recommend_videos for at most 10,000 users at once, such as for e-mails; lists have at most 100 videos.
create or replace function public.recommend_batch(
    p_user_ids text[], p_limit integer default 20
)
returns table (
    user_id text, video_id uuid, score double precision, rank integer, source text, release_id bigint, title text,
    thumbnail_url text, product_url text
)
language sql stable security definer parallel safe rows 1000
set search_path = pg_catalog, pg_temp
as $$
select asked.user_id, f.video_id, f.score, f.rank, f.source, f.release_id, f.title, f.thumbnail_url, f.product_url
from unnest(two_tower.checked_batch(p_user_ids, p_limit)) with ordinality as asked (user_id, place)
cross join lateral two_tower.recommend(
    two_tower.text_value(asked.user_id), p_limit, true, '{}', '{}', 0, 0, 0
) as f
order by asked.place, f.rank
$$;
