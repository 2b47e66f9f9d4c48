-- The functions as a former version had them, with other parameters: beside those that were made in this transaction a call
-- would be of both.
do $$
declare
    former regprocedure;
begin
    for former in
        select p.oid::regprocedure
        from pg_proc as p
        where p.pronamespace = 'public'::regnamespace and p.proname in ({names})
            and pg_get_userbyid(p.proowner) in (current_user, 'two_tower_api')
            and p.xmin <> pg_current_xact_id()::xid
    loop
        execute format('drop function %s', former);
    end loop;
end $$;
