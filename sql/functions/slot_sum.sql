-- A user's vector before it is normalised: the weighted sum of the vectors of their slots. Null where the version knows
-- none of the slots, or where they cancel each other.
create or replace function two_tower.slot_sum(
    p_version text, p_feature_ids smallint[], p_indices integer[], p_values real[]
)
returns extensions.vector
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    total extensions.vector;
begin
    -- Slots of equal weight are added first: pgvector scales a vector only by a vector filled with the number.
    select extensions.sum(same.embedding operator(extensions.*) array_fill(same.weight, array[128])::extensions.vector)
    into total
    from (
        select w.weight, extensions.sum(v.embedding) as embedding, bool_or(w.feature_id <> -1) as is_known
        from two_tower.weighed_slots(p_version, p_feature_ids, p_indices, p_values) as w
        join two_tower.slot_vectors as v
            on v.version = p_version and v.feature_id = w.feature_id and v.index = w.index
        group by w.weight
    ) as same
    having bool_or(same.is_known);
    return case when extensions.vector_norm(total) > 0 then total end;
end $$;
