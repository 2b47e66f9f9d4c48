-- A list for a user, by the release that they are served: in an experiment some users get the previous one. Their
-- events move them there as well.
create or replace function two_tower.recommend(
    p_user_id text, p_limit integer, p_exclude_seen boolean, p_filter jsonb, p_exclude uuid[],
    p_diversity double precision, p_rotation double precision, p_offset integer
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text
)
language plpgsql stable parallel safe rows 20
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    if exists (select from two_tower.variant_of(p_user_id) as v where v.is_previous) then
        return query
        select * from two_tower.find_previous_videos(
            two_tower.user_previous_vector(p_user_id), 'model', p_limit, p_offset, p_user_id, p_exclude_seen,
            two_tower.checked_ids(p_exclude, 'p_exclude', 10000), p_filter, p_diversity, p_rotation
        );
    else
        return query
        select * from two_tower.find_videos(
            two_tower.user_vector(p_user_id), 'model', p_limit, p_offset, p_user_id, p_exclude_seen,
            two_tower.checked_ids(p_exclude, 'p_exclude', 10000), p_filter, p_diversity, p_rotation
        );
    end if;
end $$;
