-- The experiment that a user is in, the variant, and the version that they are served; no row where none runs. The
-- variant is a hash of the salt and the id alone, as macro hash_fraction: the same at every call. An experiment is over
-- when one of its versions leaves the served tables, as after the next release: everybody gets the serving version.
create or replace function two_tower.variant_of(p_user_id text)
returns table (experiment text, variant text, version text, is_previous boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    running record;
    served text[];
    is_treated boolean;
begin
    select * into running from two_tower.experiments as e where e.ended_at is null and e.started_at <= now();
    if running.name is null or p_user_id is null then
        return;
    end if;
    served := two_tower.served_versions();
    if cardinality(served) < 2 or not served @> array[running.version, running.control] then
        return;
    end if;
    is_treated := ('x' || substr(md5(running.salt || ':' || p_user_id), 1, 8))::bit(32)::bigint
        / 4294967296::double precision < running.share;
    experiment := running.name;
    variant := case when is_treated then 'treatment' else 'control' end;
    version := case when is_treated then running.version else running.control end;
    is_previous := version <> served[1];
    return next;
end $$;
