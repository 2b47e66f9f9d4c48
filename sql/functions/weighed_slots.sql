-- Slots with the weights of a version's user tower: each value is divided by the norm of its block. `shrinkage` is
-- added to the squared norm of a history, as if it had so many unknown reviews; a block with null shrinkage is not
-- divided. The bias is added as feature -1. Slots that the version does not know are left out.
create or replace function two_tower.weighed_slots(
    p_version text, p_feature_ids smallint[], p_indices integer[], p_values real[]
)
returns table (feature_id smallint, index integer, weight real)
language plpgsql stable parallel safe rows 100
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        s.feature_id,
        s.index,
        (s.value / coalesce(nullif(sqrt(
            b.shrinkage + sum(s.value::double precision * s.value) over (partition by s.feature_id)
        ), 0), 1))::real
    from unnest(p_feature_ids || -1::smallint, p_indices || 0, p_values || 1::real) as s (feature_id, index, value)
    join two_tower.slot_blocks as b on b.version = p_version and b.feature_id = s.feature_id
    where s.index between 0 and b.width - 1;
end $$;
