-- The first p_wanted videos of a list with no more of one maker, or of one series, than a filter allows. A video
-- without a maker counts for none.
create or replace function two_tower.cap_list(
    p_ids uuid[], p_scores double precision[], p_wanted integer, p_filter jsonb, out ids uuid[],
    out scores double precision[]
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    per_maker constant integer := (p_filter ->> 'max_per_maker')::numeric;
    per_series constant integer := (p_filter ->> 'max_per_series')::numeric;
    makers text[] := '{}';
    series text[] := '{}';
    item record;
begin
    ids := '{}';
    scores := '{}';
    for item in
        select c.video_id, c.score, videos.maker, videos.series
        from unnest(p_ids, p_scores) with ordinality as c (video_id, score, place)
        left join two_tower.videos as videos on videos.video_id = c.video_id
        order by c.place
    loop
        exit when cardinality(ids) >= p_wanted;
        continue when item.maker is not null and cardinality(array_positions(makers, item.maker)) >= per_maker;
        continue when item.series is not null and cardinality(array_positions(series, item.series)) >= per_series;
        ids := ids || item.video_id;
        scores := scores || item.score;
        makers := makers || item.maker;
        series := series || item.series;
    end loop;
end $$;
