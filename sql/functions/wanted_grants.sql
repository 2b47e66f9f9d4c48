-- The privileges that each role of p_roles ({role: tier}) and the API role should hold on our objects, and no others.
create or replace function two_tower.wanted_grants(p_roles jsonb, p_own_vectors boolean)
returns table (role oid, kind text, id oid, privilege text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
with tiers (tier, height) as (
    values ('visitor', 1), ('user', 2), ('service', 3)
),

roles as (
    select r.oid as role, t.tier, t.height
    from jsonb_each_text(p_roles) as named
    join tiers as t on t.tier = named.value
    join pg_roles as r on r.rolname = named.key
),

api as (
    select r.oid as role from pg_roles as r where r.rolname = 'two_tower_api' and pg_has_role(r.oid, 'usage')
),

objects as materialized (
    select o.kind, o.id, o.plain_name, o.tier from two_tower.granted_objects() as o
)

select roles.role, o.kind, o.id, 'EXECUTE'
from roles
join objects as o on o.kind = 'routine'
join tiers as t on t.tier = o.tier and t.height <= roles.height
union all
select roles.role, o.kind, o.id, 'SELECT'
from roles
join two_tower.app_tables() as a on a.is_shared
join objects as o on o.kind = 'table' and o.plain_name = a.name
where roles.tier = 'service'
union all
select roles.role, o.kind, o.id, 'USAGE'
from roles
join objects as o on o.kind = 'schema' and o.plain_name = 'two_tower'
where roles.tier = 'service'
union all
-- A policy shows a user their own row. It calls the function as the user, who needs usage of the schema to name it.
select roles.role, o.kind, o.id, case o.kind when 'table' then 'SELECT' else 'EXECUTE' end
from roles
join objects as o on o.plain_name in ('public.user_embeddings', 'two_tower.reviewer_of_request')
where p_own_vectors and roles.tier = 'user'
union all
select api.role, o.kind, o.id, a.privilege
from api
cross join two_tower.app_tables() as a
join objects as o on o.kind = 'table' and o.plain_name = a.name
union all
select api.role, o.kind, o.id, case o.kind when 'routine' then 'EXECUTE' else 'USAGE' end
from api
join objects as o
    on (o.kind = 'routine' and o.plain_name ~ '^two_tower[.]' and o.tier is null)
    or (o.kind = 'schema' and o.plain_name = 'two_tower')
$$;
