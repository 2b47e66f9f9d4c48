-- The rows of because_you_watched, by the serving release.
create or replace function two_tower.liked_rows(p_user_id text, p_rows integer, p_per_row integer)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text, because_video_id uuid, because_title text, row_rank integer
)
language plpgsql stable parallel safe rows 30
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        f.video_id, f.score, f.rank, f.source, f.release_id, f.title, f.thumbnail_url, f.product_url,
        liked.video_id, videos.title, liked.place
    from two_tower.liked_lately(p_user_id, p_rows) as liked
    left join two_tower.videos as videos on videos.video_id = liked.video_id
    cross join lateral two_tower.find_videos(
        (select v.embedding from public.video_embeddings as v where v.video_id = liked.video_id), 'likes', p_per_row, 0,
        p_user_id, true, array[liked.video_id], '{}', 0, 0
    ) as f
    order by liked.place, f.rank;
end $$;
