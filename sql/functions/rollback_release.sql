-- Exchanges the served tables with those of the release before: `select * from two_tower.rollback_release()`.
create or replace function two_tower.rollback_release() returns table (version_from text, version_to text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    base text;
    base_names text[] := array['user_embeddings', 'video_embeddings'];
    serving record;
    former record;
begin
    select * into serving from two_tower.model_releases as r order by r.release_id desc limit 1;
    select * into former from two_tower.model_releases as r order by r.release_id desc offset 1 limit 1;
    if former.release_id is null or to_regclass('public.video_embeddings_previous') is null then
        raise exception using errcode = 'no_data_found', message = 'there is no release to go back to',
            hint = 'The previous pair of tables is kept from the second release on.';
    end if;
    if serving.is_rollback then
        raise exception using errcode = 'no_data_found',
            message = format('version %s was already put back in place of %s', serving.version, former.version),
            hint = 'two-tower rollback VERSION serves any version again; two-tower releases lists them.';
    end if;
    perform two_tower.assert_nothing_follows_old_tables();
    perform two_tower.lock_served_tables();
    foreach base in array base_names loop
        perform two_tower.copy_privileges(
            format('public.%I', base)::regclass, format('public.%I', base || '_previous')::regclass
        );
        perform two_tower.rename_embeddings(base, '', '_withdrawn');
        perform two_tower.rename_embeddings(base, '_previous', '');
        perform two_tower.rename_embeddings(base, '_withdrawn', '_previous');
    end loop;
    insert into two_tower.model_releases (
        release_id, version, released_at, is_rollback, user_count, video_count, lists, probes, is_exact, index_recall
    ) values (
        serving.release_id + 1, former.version, now() at time zone 'utc', true, former.user_count,
        former.video_count, former.lists, former.probes, former.is_exact, former.index_recall
    );
    perform two_tower.tune_search(former.probes);
    perform two_tower.sync_grants();
    return query select serving.version::text, former.version::text;
end $$;
