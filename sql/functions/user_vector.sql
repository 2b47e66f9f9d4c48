-- A user's vector: the released one, unless the user has none or has acted since its features were computed. Then it is
-- the sum of the user's current slots, if today's features are those that the serving version was trained on. Null
-- where nothing is known.
create or replace function two_tower.user_vector(p_user_id text) returns extensions.halfvec
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    released extensions.halfvec;
    serving constant text := two_tower.served_version();
    computed_as_of timestamptz;
    slots record;
begin
    select u.embedding into released from public.user_embeddings as u where u.user_id = p_user_id;
    if serving is null then
        return released;
    end if;
    if released is not null then
        select e.as_of at time zone 'utc' into computed_as_of
        from two_tower.embedded_as_of as e
        where e.version = serving;
        if not exists (
            select from two_tower.events as e
            where e.user_id = p_user_id and e.happened_at > computed_as_of
                and two_tower.event_stars(e.kind, e.weight) is not null
        ) then
            return released;
        end if;
    end if;
    if not exists (
        select from two_tower.slot_blocks as b
        where b.version = serving
            and b.layout_hash = (select f.layout_hash from two_tower.feature_layout as f limit 1)
    ) then
        return released;
    end if;
    slots := two_tower.user_slots(p_user_id);
    return coalesce(
        extensions.l2_normalize(
            two_tower.slot_sum(serving, slots.feature_ids, slots.indices, slots."values")
        )::extensions.halfvec,
        released
    );
end $$;
