-- Replaces the served tables with the audited ones (_next) and keeps the former as _previous, in one transaction.
create or replace function two_tower.publish_release() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    base text;
    base_names text[] := array['user_embeddings', 'video_embeddings'];
begin
    perform two_tower.assert_nothing_follows_old_tables();
    perform two_tower.lock_served_tables();
    foreach base in array base_names loop
        execute format('drop table if exists public.%I', base || '_previous');
        perform two_tower.copy_privileges(
            format('public.%I', base)::regclass, format('two_tower.%I', base || '_next')::regclass
        );
        perform two_tower.rename_embeddings(base, '', '_previous');
        execute format('alter table two_tower.%I set schema public', base || '_next');
        perform two_tower.rename_embeddings(base, '_next', '');
    end loop;
    perform two_tower.tune_search((select probes from two_tower.model_releases order by release_id desc limit 1));
    -- The new pair has all privileges of the served one, and the former pair still has those that no tier gives it now.
    perform two_tower.sync_grants();
end $$;
