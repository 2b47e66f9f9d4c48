-- A filtered list from a ranking of two_tower.video_rankings, filled up with the most popular videos.
create or replace function two_tower.list_ranking(
    p_ranking text, p_limit integer, p_offset integer, p_exclude uuid[], p_filter jsonb
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text
)
language plpgsql stable parallel safe rows 20
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    skipped constant integer := coalesce(p_offset, 0);
    wanted constant integer := skipped + coalesce(p_limit, 20);
    condition constant text := two_tower.filter_condition(p_filter);
    is_capped constant boolean := coalesce(p_filter ?| array['max_per_maker', 'max_per_series'], false);
    excluded uuid[];
    ids uuid[];
    scores double precision[];
begin
    perform two_tower.check_bounds(p_limit, p_offset);
    perform two_tower.check_shape(wanted, is_capped);
    excluded := two_tower.excluded_videos(two_tower.checked_ids(p_exclude, 'p_exclude', 10000), null);
    if is_capped then
        select c.ids, c.scores into ids, scores
        from two_tower.fill_capped(p_ranking, '{}', '{}', wanted, excluded, null, p_filter) as c;
        select c.ids, c.scores into ids, scores
        from two_tower.fill_capped('popular', ids, scores, wanted, excluded, null, p_filter) as c;
    else
        select coalesce(array_agg(p.video_id), '{}'), coalesce(array_agg(p.score), '{}') into ids, scores
        from two_tower.find_popular(p_ranking, wanted, excluded, null, condition, null) as p;
        if cardinality(ids) < wanted then
            select ids || array_agg(p.video_id), scores || array_agg(p.score) into ids, scores
            from two_tower.find_popular(
                'popular', wanted - cardinality(ids), excluded || ids, null, condition, scores[cardinality(ids)]
            ) as p;
        end if;
    end if;
    return query
    select
        f.video_id, f.score, (f.place - skipped)::integer, 'popular',
        (select s.release_id from two_tower.serving_release() as s), videos.title, videos.thumbnail_url, videos.product_url
    from unnest(ids, scores) with ordinality as f (video_id, score, place)
    left join two_tower.videos as videos on videos.video_id = f.video_id
    where f.place > skipped
    order by f.place;
end $$;
