-- The serving version, then the one whose tables are kept as _previous; each only if it exists.
create or replace function two_tower.served_versions() returns text[]
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('two_tower.model_releases') is null then
        return '{}';
    end if;
    return array(
        select r.version::text from two_tower.model_releases as r
        order by r.release_id desc
        limit case when to_regclass('public.video_embeddings_previous') is null then 1 else 2 end
    );
end $$;
