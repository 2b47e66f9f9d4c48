-- All our objects that privileges can be granted on, with those privileges, and the tier of a function that has one.
create or replace function two_tower.granted_objects()
returns table (kind text, id oid, name text, plain_name text, owner oid, acl aclitem[], namespace oid, tier text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
select
    case c.relkind when 'S' then 'sequence' else 'table' end,
    c.oid, format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname, c.relowner, c.relacl, n.oid, null
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and pg_has_role(c.relowner, 'usage')
    -- dbt is about to rename or to drop them.
    and c.relname !~ '__dbt_(tmp|backup)'
    and (
        n.nspname in ('two_tower', 'raw')
        or (n.nspname = 'public' and c.relname ~ '^(user|video)_embeddings(_previous)?$')
    )
union all
select
    'routine',
    p.oid, p.oid::regprocedure::text, n.nspname || '.' || p.proname, p.proowner,
    coalesce(p.proacl, acldefault('f', p.proowner)), n.oid, f.tier
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
left join two_tower.app_functions() as f on f.name = n.nspname || '.' || p.proname
where pg_has_role(p.proowner, 'usage') and (n.nspname = 'two_tower' or f.name is not null)
union all
select 'schema', n.oid, quote_ident(n.nspname), n.nspname, n.nspowner, n.nspacl, n.oid, null
from pg_namespace as n
where n.nspname in ('two_tower', 'raw') and pg_has_role(n.nspowner, 'usage')
$$;
