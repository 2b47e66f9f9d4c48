-- The share of the videos that pass a filter, estimated on two_tower.video_sample.
create or replace function two_tower.share_that_passes(p_condition text) returns double precision
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    share double precision;
begin
    execute format(
        'select count(*) filter (where %s)::double precision / greatest(count(*), 1) from two_tower.video_sample as videos',
        p_condition
    ) into share;
    return share;
end $$;
