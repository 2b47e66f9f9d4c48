-- Copies grants, row-level security flags and policies to the table that replaces another: they stay with the old one.
create or replace function two_tower.copy_privileges(source regclass, destination regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    item record;
begin
    for item in
        select distinct case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee
        from pg_class as c cross join lateral aclexplode(c.relacl) as a
        where c.oid = destination and a.grantee <> c.relowner
    loop
        execute format('revoke all on %s from %s', destination, item.grantee);
    end loop;
    for item in
        select
            case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
            a.privilege_type || coalesce(' (' || quote_ident(granted.attname) || ')', '') as privilege,
            case when a.is_grantable then ' with grant option' else '' end as with_option
        from (
            select c.relowner, null::name as attname, c.relacl as acl from pg_class as c where c.oid = source
            union all
            select c.relowner, t.attname, t.attacl
            from pg_attribute as t join pg_class as c on c.oid = t.attrelid
            where t.attrelid = source and t.attnum > 0 and not t.attisdropped
                -- A column that no longer exists has no privileges to copy.
                and exists (
                    select from pg_attribute as d
                    where d.attrelid = destination and d.attname = t.attname and not d.attisdropped
                )
        ) as granted
        cross join lateral aclexplode(granted.acl) as a
        where a.grantee <> granted.relowner
    loop
        execute format('grant %s on %s to %s%s', item.privilege, destination, item.grantee, item.with_option);
    end loop;

    for item in
        select replace(option, '=', ' = ') as setting
        from pg_class as c cross join lateral unnest(c.reloptions) as option
        where c.oid = source and c.relkind = 'v' and (select d.relkind from pg_class as d where d.oid = destination) = 'v'
    loop
        execute format('alter view %s set (%s)', destination, item.setting);
    end loop;
    -- A view has neither policies nor flags of row-level security.
    if (select count(*) from pg_class as c where c.oid in (source, destination) and c.relkind in ('r', 'p')) < 2 then
        return;
    end if;
    for item in select p.polname from pg_policy as p where p.polrelid = destination loop
        execute format('drop policy %I on %s', item.polname, destination);
    end loop;
    for item in
        select
            p.polname,
            case when p.polpermissive then 'permissive' else 'restrictive' end as kind,
            case p.polcmd
                when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all'
            end as command,
            (
                select string_agg(case r.oid when 0 then 'public' else quote_ident(pg_get_userbyid(r.oid)) end, ', ')
                from unnest(p.polroles) as r (oid)
            ) as roles,
            coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') as using_clause,
            coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') as check_clause
        from pg_policy as p
        where p.polrelid = source
    loop
        execute format(
            'create policy %I on %s as %s for %s to %s%s%s',
            item.polname, destination, item.kind, item.command, item.roles, item.using_clause, item.check_clause
        );
    end loop;

    select c.relrowsecurity, c.relforcerowsecurity into item from pg_class as c where c.oid = source;
    execute format(
        'alter table %s %s row level security, %s row level security', destination,
        case when item.relrowsecurity then 'enable' else 'disable' end,
        case when item.relforcerowsecurity then 'force' else 'no force' end
    );
end $$;
