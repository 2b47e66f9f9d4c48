-- Makes the app's functions security definer. Their owner is two_tower_api, which has the privileges of app_tables and
-- no more, if the current role may create it or is a member of it; else the current role. Called once the API role
-- holds its privileges.
create or replace function two_tower.sync_api_role() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    vectors regnamespace := (select e.extnamespace from pg_extension as e where e.extname = 'vector');
    api oid := to_regrole('two_tower_api');
    new_owner name := current_user;
    item record;
begin
    if api is not null and pg_has_role(api, 'usage') then
        begin
            -- A grant that has no effect is only a warning.
            if not has_schema_privilege(api, vectors, 'usage') then
                execute format('grant usage on schema %s to two_tower_api', vectors);
            end if;
            if not has_schema_privilege(api, 'public', 'usage') then
                grant usage on schema public to two_tower_api;
            end if;
        exception when insufficient_privilege then
            null;
        end;
        if has_schema_privilege(api, vectors, 'usage') and has_schema_privilege(api, 'public', 'usage') then
            new_owner := 'two_tower_api';
        end if;
    end if;
    for item in
        select o.name, has_schema_privilege(api, 'public', 'create') as may_create
        from two_tower.granted_objects() as o
        join pg_proc as p on o.kind = 'routine' and p.oid = o.id
        where o.tier <> 'owner' and p.prosecdef and o.owner <> new_owner::regrole
            and (o.owner = api or new_owner = 'two_tower_api')
    loop
        -- The new owner of a function needs CREATE on its schema when it is assigned.
        begin
            if new_owner = 'two_tower_api' and not item.may_create then
                grant create on schema public to two_tower_api;
            end if;
            execute format('alter routine %s owner to %I', item.name, new_owner);
            if new_owner = 'two_tower_api' and not item.may_create then
                revoke create on schema public from two_tower_api;
            end if;
        exception when insufficient_privilege then
            exit;
        end;
    end loop;
end $$;
