-- The privileges of the roles in two_tower.granted_roles, one row per role and function or table, and of other roles on
-- our objects. is_wanted: the role's tier gives it. undo: the statement that revokes it, where no tier gives it.
create or replace function two_tower.app_grants()
returns table (role text, tier text, kind text, object text, is_allowed boolean, is_wanted boolean, undo text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
return query
with objects as materialized (
    select o.* from two_tower.granted_objects() as o
),

roles as (
    select r.oid as role, r.rolname, g.tier
    from two_tower.granted_roles as g join pg_roles as r on r.rolname = g.role
),

wanted as materialized (
    select w.role, w.kind, w.id
    from two_tower.wanted_grants(
        coalesce((select jsonb_object_agg(g.role, g.tier) from two_tower.granted_roles as g), '{}'),
        exists (
            select from pg_policy as p
            where p.polrelid = to_regclass('public.user_embeddings') and p.polname = 'two_tower_own_vector'
        )
    ) as w
),

held as (
    select o.kind, o.id, a.grantee
    from objects as o cross join lateral aclexplode(o.acl) as a
    where a.grantee <> o.owner
    union
    select o.kind, o.id, a.grantee
    from objects as o
    join pg_attribute as t on o.kind = 'table' and t.attrelid = o.id and not t.attisdropped
    cross join lateral aclexplode(t.attacl) as a
    where a.grantee <> o.owner
),

may as (
    select
        r.role, r.rolname, r.tier, o.kind, o.id, o.name, o.plain_name,
        case o.kind
            when 'routine' then has_function_privilege(r.role, o.id, 'execute')
            when 'schema' then has_schema_privilege(r.role, o.id, 'usage')
            when 'sequence' then has_sequence_privilege(r.role, o.id, 'usage, select, update')
            else has_any_column_privilege(r.role, o.id, 'select, insert, update, references')
                or has_table_privilege(r.role, o.id, 'delete, truncate, trigger')
        end as is_allowed
    from roles as r
    cross join objects as o
)

select
    m.rolname::text, m.tier, m.kind, m.plain_name, m.is_allowed, w.role is not null,
    case when m.is_allowed and w.role is null and exists (
        select from held as h where h.kind = m.kind and h.id = m.id and h.grantee = m.role
    ) then format('revoke all on %s %s from %I;', m.kind, m.name, m.rolname) end
from may as m
left join (select distinct wanted.role, wanted.kind, wanted.id from wanted) as w
    on w.role = m.role and w.kind = m.kind and w.id = m.id
where m.plain_name ~ '^public[.]' or m.plain_name in (select a.name from two_tower.app_tables() as a where a.is_shared)
    or m.is_allowed or w.role is not null
union all
select
    case h.grantee when 0 then 'public' else pg_get_userbyid(h.grantee)::text end, null, o.kind, o.plain_name, true, false,
    format(
        'revoke all on %s %s from %s;', o.kind, o.name,
        case h.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(h.grantee)) end
    )
from held as h
join objects as o on o.kind = h.kind and o.id = h.id
where h.grantee not in (select r.role from roles as r)
    and h.grantee is distinct from to_regrole('two_tower_api')
order by 1, 3, 4;
end $$;
