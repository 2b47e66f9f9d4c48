-- The only search, which the app's functions call: the videos nearest to a vector that pass a filter, without hidden,
-- excluded and seen ones. The most popular videos stand in where there is no vector or too few are found.
--
-- A filter that many videos pass is evaluated inside the iterative scan, which continues until it has enough rows.
-- Where few pass, they are found first and compared one by one, which is exact. The share that passes is estimated on a
-- sample. A filter outside the scan would leave too few rows.
--
-- Whether a video was seen is looked up for each row of the scan: a list of all seen videos would have to be read
-- whole. An iterative scan in relaxed order returns some nearer videos after farther ones, so its rows are sorted
-- again; `+ 0` keeps the planner from assuming that they are sorted.
--
-- A scan that goes deeper comes by nearer videos that it had missed. For a list that does not depend on how it is paged
-- it is made in blocks, which end at 20, 100, 500, 2,500 and 12,500: each is a search for the nearest videos that are
-- in no block before, shaped by itself. A page is cut out of as many blocks as it needs.

-- pgvector's settings exist once a session has loaded it; before that, only a superuser may name them.
do $$ begin perform '[1]'::extensions.halfvec; end $$;

create or replace function two_tower.find_videos(
    p_query extensions.halfvec, p_source text, p_limit integer, p_offset integer, p_user_id text,
    p_exclude_seen boolean, p_exclude uuid[], p_filter jsonb, p_diversity double precision, p_rotation double precision
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text
)
language plpgsql stable parallel safe rows 20
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_memoize = off
set "ivfflat.iterative_scan" = 'relaxed_order'
as $$
#variable_conflict use_column
declare
    skipped constant integer := coalesce(p_offset, 0);
    wanted constant integer := skipped + coalesce(p_limit, 20);
    condition constant text := two_tower.filter_condition(p_filter);
    viewer constant text := case when coalesce(p_exclude_seen, true) then p_user_id end;
    is_shaped constant boolean := two_tower.is_shaped(p_filter, p_diversity, p_rotation);
    is_capped constant boolean := coalesce(p_filter ?| array['max_per_maker', 'max_per_series'], false);
    is_compared constant boolean := is_capped or coalesce(p_diversity, 0) > 0;
    -- Null where there is no direction to compare with.
    query constant extensions.halfvec := case when extensions.l2_norm(p_query) > 0 then p_query end;
    way text := case when condition is null then 'scan' else 'filtered scan' end;
    excluded uuid[];
    serving record;
    block_start integer := 0;
    block_end integer := 20;
    taken integer;
    kept integer;
    found_ids uuid[];
    found_scores double precision[];
    ids uuid[] := '{}';
    scores double precision[] := '{}';
    personal integer;
begin
    perform two_tower.check_bounds(p_limit, p_offset);
    select r.release_id, r.exact_below into serving from two_tower.serving_release() as r;
    excluded := two_tower.excluded_videos(p_exclude, viewer);
    if query is null or wanted = 0 then
        way := 'none';
    elsif condition is not null and two_tower.share_that_passes(condition) < serving.exact_below then
        way := 'exact';
    end if;

    if is_compared or (way = 'exact' and not is_shaped) then
        -- No blocks are needed: the candidates are the same on each page, or they are all that pass, in their order.
        block_end := wanted;
    end if;
    loop
        -- The probed lists hold nearly everybody's nearest 20, but not their nearest 100.
        taken := case when is_capped then 800 when is_compared then 200 else 4 * (block_end - block_start) end;
        kept := case when is_shaped then taken else least(block_end, wanted) - block_start end;
        if way = 'scan' then
            select array_agg(f.video_id), array_agg(f.score) into found_ids, found_scores
            from (
                select nearest.video_id, 1 - nearest.distance as score
                from (
                    select v.video_id, v.embedding operator(extensions.<=>) query as distance
                    from public.video_embeddings as v
                    where v.video_id not in (select e.video_id from unnest(excluded || ids) as e (video_id))
                        and (viewer is null or (
                            select true from two_tower.interactions as i where i.user_id = viewer and i.item_id = v.video_id
                        ) is null)
                    order by v.embedding operator(extensions.<=>) query
                    limit taken
                ) as nearest
                order by nearest.distance + 0, nearest.video_id
                limit kept
            ) as f;
        elsif way = 'filtered scan' then
            execute format('
                select array_agg(f.video_id), array_agg(f.score)
                from (
                    select nearest.video_id, 1 - nearest.distance as score
                    from (
                        select v.video_id, v.embedding operator(extensions.<=>) $1 as distance
                        from public.video_embeddings as v
                        where v.video_id not in (select e.video_id from unnest($2) as e (video_id))
                            and ($3 is null or (
                                select true from two_tower.interactions as i where i.user_id = $3 and i.item_id = v.video_id
                            ) is null)
                            and (select %s from two_tower.videos as videos where videos.video_id = v.video_id)
                        order by v.embedding operator(extensions.<=>) $1
                        limit $4
                    ) as nearest
                    order by nearest.distance + 0, nearest.video_id
                    limit $5
                ) as f', condition) into found_ids, found_scores using query, excluded || ids, viewer, taken, kept;
        elsif way = 'exact' then
            execute format('
                select array_agg(f.video_id), array_agg(f.score)
                from (
                    select nearest.video_id, 1 - nearest.distance as score
                    from (
                        select v.video_id, v.embedding operator(extensions.<=>) $1 as distance
                        from two_tower.videos as videos
                        inner join public.video_embeddings as v on v.video_id = videos.video_id
                        where %s
                        order by (v.embedding operator(extensions.<=>) $1) + 0, 1
                        offset 0
                    ) as nearest
                    where nearest.video_id not in (select e.video_id from unnest($2) as e (video_id))
                        and ($3 is null or (
                            select true from two_tower.interactions as i where i.user_id = $3 and i.item_id = nearest.video_id
                        ) is null)
                    limit $4
                ) as f', condition) into found_ids, found_scores using query, excluded || ids, viewer, kept;
        end if;
        if is_shaped then
            select s.ids, s.scores into found_ids, found_scores
            from two_tower.shape_list(
                coalesce(found_ids, '{}'), coalesce(found_scores, '{}'), block_end - block_start, query, p_user_id, viewer,
                excluded || ids, p_filter, p_diversity, p_rotation
            ) as s;
        end if;
        if block_start > 0 then
            -- What a block before has missed may be nearer than its last: a score falls with the rank all the same.
            found_scores := array(
                select least(f.score, scores[block_start])
                from unnest(found_scores) with ordinality as f (score, place)
                order by f.place
            );
        end if;
        ids := ids || found_ids;
        scores := scores || found_scores;
        exit when cardinality(ids) < block_end or block_end >= wanted;
        block_start := block_end;
        block_end := 5 * block_end;
    end loop;

    personal := cardinality(ids);
    if personal < wanted and is_capped then
        -- The caps apply to popular videos too.
        select c.ids, c.scores into ids, scores
        from two_tower.fill_capped('popular', ids, scores, wanted, excluded, viewer, p_filter) as c;
    elsif personal < wanted then
        select ids || array_agg(p.video_id), scores || array_agg(p.score) into ids, scores
        from two_tower.find_popular(
            'popular', wanted - personal, excluded || ids, viewer, condition, scores[personal]
        ) as p;
    end if;
    -- A user who has seen everything sees it again: an answer is never empty.
    if cardinality(ids) = 0 and viewer is not null and condition is null and not is_capped then
        select array_agg(p.video_id), array_agg(p.score) into ids, scores
        from two_tower.find_popular('popular', wanted, two_tower.excluded_videos(p_exclude, null), null, null, null) as p;
    end if;

    return query
    select
        f.video_id, f.score, (f.place - skipped)::integer,
        case when f.place <= personal then p_source else 'popular' end,
        serving.release_id::bigint, videos.title, videos.thumbnail_url, videos.product_url
    from unnest(ids, scores) with ordinality as f (video_id, score, place)
    left join two_tower.videos as videos on videos.video_id = f.video_id
    where f.place > skipped and f.place <= wanted
    order by f.place;
end $$;
