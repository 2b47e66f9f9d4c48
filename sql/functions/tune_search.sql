-- Whether the functions search by the index, and how far, belongs to a release.
create or replace function two_tower.tune_search(probes integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    target regprocedure;
begin
    -- Only a session that has loaded pgvector knows its settings, and only then may others than a superuser set them.
    perform '[1]'::extensions.halfvec;
    for target in
        select p.oid::regprocedure
        from pg_proc as p
        where p.pronamespace = 'public'::regnamespace
            and p.proname in ('recommend_videos', 'similar_videos', 'recommend_for_vector')
    loop
        if probes is null then
            execute format('alter function %s reset ivfflat.probes', target);
            execute format('alter function %s reset enable_seqscan', target);
            execute format('alter function %s set enable_indexscan = off', target);
        else
            execute format('alter function %s set ivfflat.probes = %s', target, probes);
            -- The planner does not know how small the limit is and would rather read the whole table.
            execute format('alter function %s set enable_seqscan = off', target);
            execute format('alter function %s reset enable_indexscan', target);
        end if;
    end loop;
end $$;
