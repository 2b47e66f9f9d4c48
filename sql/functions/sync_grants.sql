-- Grants the roles of p_roles ({role: tier}) the privileges of their tier and revokes all others on our objects from
-- them and from roles that were named before. Privileges that come from the database's default privileges are revoked
-- from every role. What was granted by hand to any other role stays. Without arguments: as in the last call.

-- The roles that hold our grants: a role that is no longer named loses them.
create table if not exists two_tower.granted_roles (role name primary key, tier text not null);

create or replace function two_tower.sync_grants(p_roles jsonb default null, p_own_vectors boolean default null)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    roles jsonb;
    own_vectors boolean;
    item record;
begin
    lock table two_tower.granted_roles in share row exclusive mode;
    roles := coalesce(p_roles, (select jsonb_object_agg(g.role, g.tier) from two_tower.granted_roles as g), '{}');
    own_vectors := coalesce(p_own_vectors, exists (
        select from pg_policy as p
        where p.polrelid = to_regclass('public.user_embeddings') and p.polname = 'two_tower_own_vector'
    ));
    if to_regrole('two_tower_api') is null
        and (select r.rolsuper or r.rolcreaterole from pg_roles as r where r.rolname = current_user)
    then
        create role two_tower_api nologin noinherit;
    end if;
    if to_regrole('two_tower_api') is not null and not pg_has_role('two_tower_api', 'usage') then
        begin
            grant two_tower_api to current_user;
        exception when insufficient_privilege then
            null;
        end;
    end if;

    for item in
        with objects as materialized (
            select o.* from two_tower.granted_objects() as o
        ),

        held as (
            select o.kind, o.id, o.name, o.namespace, a.grantee, a.privilege_type as privilege
            from objects as o cross join lateral aclexplode(o.acl) as a
            where a.grantee <> o.owner
            union
            select o.kind, o.id, o.name, o.namespace, a.grantee, a.privilege_type || ' of columns'
            from objects as o
            join pg_attribute as t on o.kind = 'table' and t.attrelid = o.id and not t.attisdropped
            cross join lateral aclexplode(t.attacl) as a
            where a.grantee <> o.owner
        ),

        wanted as materialized (
            select w.* from two_tower.wanted_grants(roles, own_vectors) as w
        ),

        managed as (
            select r.oid as role from pg_roles as r
            where r.rolname = 'two_tower_api' or jsonb_exists(roles, r.rolname)
                or r.rolname in (select g.role from two_tower.granted_roles as g)
        ),

        defaults as (
            select d.kind, d.namespace, d.grantee, array_agg(d.privilege_type) as privileges
            from (
                select
                    case d.defaclobjtype when 'r' then 'table' when 'S' then 'sequence' when 'f' then 'routine' end as kind,
                    d.defaclnamespace as namespace, a.grantee, a.privilege_type
                from pg_default_acl as d cross join lateral aclexplode(d.defaclacl) as a
                where d.defaclobjtype in ('r', 'S', 'f')
                union
                select 'routine', 0, 0, 'EXECUTE'
            ) as d
            group by d.kind, d.namespace, d.grantee
        ),

        given_by_default as (
            select h.kind, h.id, h.grantee
            from (
                select h.kind, h.id, h.namespace, h.grantee, array_agg(h.privilege) as privileges
                from held as h
                group by h.kind, h.id, h.namespace, h.grantee
            ) as h
            join defaults as d
                on d.kind = h.kind and d.namespace in (0, h.namespace) and d.grantee = h.grantee
                and h.privileges @> d.privileges
        ),

        revoked as (
            select h.kind, h.id, h.name, h.grantee, h.privilege
            from held as h
            left join wanted as w
                on w.role = h.grantee and w.kind = h.kind and w.id = h.id and w.privilege = h.privilege
            where w.role is null
                and (
                    h.grantee in (select m.role from managed as m)
                    or exists (
                        select from given_by_default as d
                        where d.kind = h.kind and d.id = h.id and d.grantee = h.grantee
                    )
                )
        )

        select
            1 as step,
            format(
                'revoke %s on %s %s from %s', replace(r.privilege, ' of columns', ''), r.kind, r.name,
                case r.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(r.grantee)) end
            ) as statement
        from revoked as r
        union all
        select 2, format('grant %s on %s %s to %s', w.privilege, w.kind, o.name, quote_ident(pg_get_userbyid(w.role)))
        from wanted as w
        join objects as o on o.kind = w.kind and o.id = w.id
        where o.owner <> w.role and not exists (
            select from held as h
            where h.grantee = w.role and h.kind = w.kind and h.id = w.id and h.privilege = w.privilege
        )
        order by 1
    loop
        execute item.statement;
    end loop;
    perform two_tower.sync_policies(roles, own_vectors);
    perform two_tower.sync_api_role();

    delete from two_tower.granted_roles where not jsonb_exists(roles, role);
    insert into two_tower.granted_roles (role, tier)
    select named.key, named.value from jsonb_each_text(roles) as named join pg_roles as r on r.rolname = named.key
    on conflict (role) do update set tier = excluded.tier;
end $$;
