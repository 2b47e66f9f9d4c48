-- The serving release, or the one before it. exact_below: if a filter passes a smaller share of the videos, those are
-- compared one by one. At this share, sqrt(320 / N), that takes as long as a scan that continues until enough pass
-- (benchmarks/serving.py). Nulls where there is no such release.
create or replace function two_tower.serving_release(
    p_is_previous boolean default false, out release_id bigint, out exact_below double precision
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('two_tower.model_releases') is not null then
        select r.release_id, sqrt(320.0 / greatest(r.video_count, 320)) into release_id, exact_below
        from two_tower.model_releases as r
        order by r.release_id desc
        offset p_is_previous::integer
        limit 1;
    end if;
end $$;
