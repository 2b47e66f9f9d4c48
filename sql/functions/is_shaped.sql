-- Whether a list has to be reranked (shape_list) instead of being the nearest videos in their order.
create or replace function two_tower.is_shaped(
    p_filter jsonb, p_diversity double precision, p_rotation double precision
)
returns boolean
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
select coalesce(p_diversity, 0) <> 0 or coalesce(p_rotation, 0) <> 0 or coalesce(p_filter ?| array['max_per_maker', 'max_per_series'], false)
    or exists (select from two_tower.boosts as b where now() >= coalesce(b."from", '-infinity') and now() < coalesce(b."until", 'infinity'))
$$;
