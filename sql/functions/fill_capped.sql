-- Fills a list up with videos of a ranking (find_popular), with no more of one maker, or of one series, than a filter
-- allows. A video without a maker counts for none. Boosts, rotation and diversity do not apply to what is filled in.
--
-- The ranking is read in pieces, each without the makers and series that are full: what is left of it is small where
-- the caps leave out most, and all that are eligible are found.
create or replace function two_tower.fill_capped(
    p_ranking text, p_ids uuid[], p_scores double precision[], p_wanted integer, p_exclude uuid[], p_viewer text,
    p_filter jsonb, out ids uuid[], out scores double precision[]
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    per_maker constant integer := (p_filter ->> 'max_per_maker')::numeric;
    per_series constant integer := (p_filter ->> 'max_per_series')::numeric;
    condition constant text := two_tower.filter_condition(p_filter);
    makers text[];
    series text[];
    conditions text[];
    full_ones text[];
    piece integer := 1000;
    rows_read integer;
    item record;
begin
    ids := p_ids;
    scores := p_scores;
    select coalesce(array_agg(videos.maker), '{}'), coalesce(array_agg(videos.series), '{}') into makers, series
    from two_tower.videos as videos
    where videos.video_id = any (p_ids);
    while cardinality(ids) < p_wanted loop
        conditions := array[condition];
        full_ones := array(select m.maker from unnest(makers) as m (maker) group by 1 having count(m.maker) >= per_maker);
        -- In this form, unlike with coalesce(), the planner sees from its statistics how few may be left.
        if cardinality(full_ones) > 0 then
            conditions := conditions || format('(videos.maker is null or videos.maker <> all (%L::text[]))', full_ones);
        end if;
        full_ones := array(select s.series from unnest(series) as s (series) group by 1 having count(s.series) >= per_series);
        if cardinality(full_ones) > 0 then
            conditions := conditions || format('(videos.series is null or videos.series <> all (%L::text[]))', full_ones);
        end if;
        rows_read := 0;
        for item in
            select p.video_id, p.score, videos.maker, videos.series
            from two_tower.find_popular(
                p_ranking, piece, p_exclude || ids, p_viewer, nullif(array_to_string(conditions, ' and '), ''),
                scores[cardinality(scores)]
            ) as p
            left join two_tower.videos as videos on videos.video_id = p.video_id
            order by p.rank
        loop
            exit when cardinality(ids) >= p_wanted;
            rows_read := rows_read + 1;
            continue when item.maker is not null and cardinality(array_positions(makers, item.maker)) >= per_maker;
            continue when item.series is not null and cardinality(array_positions(series, item.series)) >= per_series;
            ids := ids || item.video_id;
            scores := scores || item.score;
            makers := makers || item.maker;
            series := series || item.series;
        end loop;
        exit when rows_read < piece;
        piece := 2 * piece;
    end loop;
end $$;
