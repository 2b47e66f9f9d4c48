-- Rows of videos (p_rows, at most 20), each similar to one that the user liked lately. p_user_id is the caller by
-- default.
create or replace function public.because_you_watched(
    p_user_id text default null, p_rows integer default 3, p_per_row integer default 10
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text, because_video_id uuid, because_title text, row_rank integer
)
language sql stable security definer parallel safe rows 30
set search_path = pg_catalog, pg_temp
as $$
with liked as materialized (
    select person.user_id, person.per_row, l.video_id, l.place
    from (
        -- Not pulled up, so that p_per_row is checked where nothing was liked too.
        select
            two_tower.known_person(p_user_id) as user_id,
            two_tower.checked_count(p_per_row, 'p_per_row', 1000) as per_row
        offset 0
    ) as person
    cross join lateral two_tower.liked_lately(person.user_id, p_rows) as l
)

select
    f.video_id, f.score, f.rank, f.source, f.release_id, f.title, f.thumbnail_url, f.product_url,
    liked.video_id, videos.title, liked.place
from liked
left join two_tower.videos as videos on videos.video_id = liked.video_id
cross join lateral two_tower.find_videos(
    (select v.embedding from public.video_embeddings as v where v.video_id = liked.video_id), 'likes',
    liked.per_row, 0, liked.user_id, true, array[liked.video_id], '{}', 0, 0
) as f
order by liked.place, f.rank
$$;
