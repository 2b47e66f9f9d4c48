-- Reranks a list by boosts, rotation, diversity and caps. The scores returned are those of the new order, descending.
--
-- A boost multiplies 1 + the score; a video with a factor above 1 is a candidate however far it is. Rotation subtracts
-- up to p_rotation from the score of a video that was shown to the user lately and not chosen. Diversity is maximal
-- marginal relevance (Carbonell and Goldstein 1998): the next video has the highest
-- (1 - d) * score - d * (cosine to the most similar video before it).
create or replace function two_tower.shape_list(
    p_ids uuid[], p_scores double precision[], p_wanted integer, p_query extensions.halfvec, p_user_id text,
    p_viewer text, p_exclude uuid[], p_filter jsonb, p_diversity double precision, p_rotation double precision,
    out ids uuid[], out scores double precision[]
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    diversity constant double precision := coalesce(p_diversity, 0);
    rotation constant double precision := coalesce(p_rotation, 0);
    per_maker constant integer := (p_filter ->> 'max_per_maker')::numeric;
    per_series constant integer := (p_filter ->> 'max_per_series')::numeric;
    vectors extensions.halfvec[];
    makers text[];
    series text[];
    nearest double precision[];
    is_left boolean[];
    best integer;
    value double precision;
    chosen uuid[] := '{}';
    chosen_values double precision[] := '{}';
    chosen_makers text[] := '{}';
    chosen_series text[] := '{}';
begin
    if not (diversity >= 0 and diversity <= 1 and rotation >= 0 and rotation <= 1) then
        raise invalid_parameter_value using message = 'p_diversity and p_rotation are 0 to 1';
    end if;
    perform two_tower.check_shape(p_wanted, diversity > 0 or per_maker is not null or per_series is not null);
    ids := p_ids;
    scores := p_scores;
    if p_query is not null and exists (select from two_tower.boosts as b where b.factor > 1) then
        execute format('
            select $1 || array_agg(v.video_id), $2 || array_agg(1 - (v.embedding operator(extensions.<=>) $3))
            from public.video_embeddings as v
            inner join two_tower.videos as videos on videos.video_id = v.video_id
            where v.video_id in (
                    select b.video_id from two_tower.boosts as b
                    where now() >= coalesce(b."from", ''-infinity'') and now() < coalesce(b."until", ''infinity'')
                    group by b.video_id
                    having sum(ln(b.factor)) > 0
                )
                and v.video_id <> all ($1) and v.video_id <> all ($4) and %s
                and not exists (
                    select from two_tower.interactions as i where i.user_id = $5 and i.item_id = v.video_id
                )',
            coalesce(two_tower.filter_condition(p_filter), 'true')
        ) into ids, scores using p_ids, p_scores, p_query, p_exclude, p_viewer;
    end if;

    with boosts as (
        select b.video_id, exp(sum(ln(b.factor))) as factor
        from two_tower.boosts as b
        where now() >= coalesce(b."from", '-infinity') and now() < coalesce(b."until", 'infinity')
        group by b.video_id
    ),

    -- Impressions that were followed by an action on the video do not count. The second bound on `later` follows from
    -- the first two: written out, it rules out earlier months before their partitions are opened.
    shown as (
        select e.video_id, 1 - exp(-sum(exp(-extract(epoch from now() - e.happened_at) / 259200.0))) as weight
        from two_tower.events as e
        where rotation > 0 and e.user_id = p_user_id and e.kind = 'impression'
            and e.happened_at > now() - interval '14 days'
            and not exists (
                select from two_tower.events as later
                where later.user_id = p_user_id and later.video_id = e.video_id and later.kind <> 'impression'
                    and later.happened_at > e.happened_at and later.happened_at > now() - interval '14 days'
            )
        group by e.video_id
    ),

    candidates as (
        select
            c.video_id,
            c.score + (1 + c.score) * (coalesce(b.factor, 1) - 1) - rotation * coalesce(s.weight, 0) as score
        from unnest(ids, scores) as c (video_id, score)
        left join boosts as b on b.video_id = c.video_id
        left join shown as s on s.video_id = c.video_id
    )

    select
        array_agg(c.video_id order by c.score desc, c.video_id), array_agg(c.score order by c.score desc, c.video_id),
        array_agg(v.embedding order by c.score desc, c.video_id),
        array_agg(videos.maker order by c.score desc, c.video_id),
        array_agg(videos.series order by c.score desc, c.video_id)
    into ids, scores, vectors, makers, series
    from candidates as c
    left join public.video_embeddings as v on v.video_id = c.video_id
    left join two_tower.videos as videos on videos.video_id = c.video_id;

    if ids is null then
        ids := '{}';
        scores := '{}';
    elsif diversity = 0 and per_maker is null and per_series is null then
        ids := ids[:p_wanted];
        scores := scores[:p_wanted];
    else
        nearest := array_fill(0::double precision, array[cardinality(ids)]);
        is_left := array_fill(true, array[cardinality(ids)]);
        for step in 1..least(p_wanted, cardinality(ids)) loop
            select c.place, (1 - diversity) * c.score - diversity * c.nearest into best, value
            from unnest(scores, nearest, makers, series, is_left)
                with ordinality as c (score, nearest, maker, series, is_left, place)
            where c.is_left
                -- The caps do not apply to a null maker or series. Without a cap nothing is counted.
                and (per_maker is null or c.maker is null or cardinality(array_positions(chosen_makers, c.maker)) < per_maker)
                and (per_series is null or c.series is null or cardinality(array_positions(chosen_series, c.series)) < per_series)
            order by 2 desc, 1
            limit 1;
            exit when not found;
            chosen := chosen || ids[best];
            chosen_values := chosen_values || value;
            is_left[best] := false;
            chosen_makers := chosen_makers || makers[best];
            chosen_series := chosen_series || series[best];
            if diversity > 0 then
                nearest := array(
                    select greatest(c.nearest, 1 - (c.vector operator(extensions.<=>) vectors[best]))
                    from unnest(nearest, vectors) with ordinality as c (nearest, vector, place)
                    order by c.place
                );
            end if;
        end loop;
        ids := chosen;
        scores := chosen_values;
    end if;
end $$;
