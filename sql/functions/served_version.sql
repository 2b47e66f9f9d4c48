-- The version of the served vectors, from the comment on their table (macro index_embeddings). Null before the first
-- release. Both tables are locked for reading first, in the order in which a release locks them, so that no release can
-- swap them before the transaction ends.
create or replace function two_tower.served_version() returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    version text;
begin
    perform from public.user_embeddings limit 0;
    perform from public.video_embeddings limit 0;
    version := substring(obj_description('public.video_embeddings'::regclass, 'pg_class') from 'version (\S+)');
    if version is null and to_regclass('two_tower.model_releases') is not null then
        -- Released before tables had this comment.
        select r.version into version
        from two_tower.model_releases as r
        where r.release_id = (select s.release_id from two_tower.serving_release() as s);
    end if;
    return version;
end $$;
