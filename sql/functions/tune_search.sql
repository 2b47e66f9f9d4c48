-- Sets index use and ivfflat.probes of each search to those of the release whose tables it reads; null probes: exact.
create or replace function two_tower.tune_search(probes integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    item record;
begin
    -- pgvector's settings exist once a session has loaded it; before that, only a superuser may set them.
    perform '[1]'::extensions.halfvec;
    for item in
        select p.oid::regprocedure as target, case when p.proname = 'find_previous_videos' then former.probes else tune_search.probes end as probes
        from pg_proc as p
        left join (
            select r.probes from two_tower.model_releases as r order by r.release_id desc offset 1 limit 1
        ) as former on true
        where p.oid in (
            to_regproc('two_tower.find_videos'), to_regproc('two_tower.find_previous_videos'), to_regproc('public.similar_users')
        )
    loop
        if item.probes is null then
            execute format('alter function %s reset ivfflat.probes', item.target);
            execute format('alter function %s reset enable_seqscan', item.target);
            execute format('alter function %s set enable_indexscan = off', item.target);
        else
            execute format('alter function %s set ivfflat.probes = %s', item.target, item.probes);
            -- The planner does not know how small the limit is and would prefer a sequential scan.
            execute format('alter function %s set enable_seqscan = off', item.target);
            execute format('alter function %s reset enable_indexscan', item.target);
        end if;
    end loop;
end $$;
