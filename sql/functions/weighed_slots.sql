-- Slots as a version's user tower weighs them: each value by the norm of its block, and the slot's vector. A history's norm
-- has `shrinkage` reviews of which nothing is known beside its own; a block without shrinkage is not divided. The bias comes
-- with them, as feature -1. Left out: what the version does not know.
create or replace function two_tower.weighed_slots(
    p_version text, p_feature_ids smallint[], p_indices integer[], p_values real[]
)
returns table (feature_id smallint, index integer, weight real, embedding extensions.vector)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with slots as (
        select v.feature_id, v.index, s.value, v.embedding
        from unnest(p_feature_ids || -1::smallint, p_indices || 0, p_values || 1::real) as s (feature_id, index, value)
        join two_tower.slot_vectors as v
            on v.version = p_version and v.feature_id = s.feature_id and v.index = s.index
    ),

    norms as (
        select b.feature_id, coalesce(sqrt(b.shrinkage + squares.total), 1) as norm
        from (
            select s.feature_id, sum(s.value::double precision * s.value) as total
            from slots as s
            group by s.feature_id
        ) as squares
        join two_tower.slot_blocks as b on b.version = p_version and b.feature_id = squares.feature_id
        where b.shrinkage is null or b.shrinkage + squares.total > 0
    )

    select s.feature_id, s.index, (s.value / n.norm)::real, s.embedding
    from slots as s
    join norms as n on n.feature_id = s.feature_id;
end $$;
