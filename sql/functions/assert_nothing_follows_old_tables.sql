-- Raises if anything would still read the old tables after a swap, because Postgres stores their oid, not their name.
create or replace function two_tower.assert_nothing_follows_old_tables() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    served oid[] := array_remove(array[
        to_regclass('public.user_embeddings')::oid, to_regclass('public.video_embeddings')::oid
    ], null);
    found text;
begin
    with dependents as (
        select d.classid, d.objid, d.refobjid
        from pg_catalog.pg_depend as d
        where (d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = any (served))
            or (
                d.refclassid = 'pg_catalog.pg_type'::regclass
                and d.refobjid in (select t.oid from pg_catalog.pg_type as t where t.typrelid = any (served))
            )
    ),
    named as (
        select case c.relkind when 'm' then 'materialized view ' else 'view ' end || c.oid::regclass::text as name
        from dependents as d
        join pg_catalog.pg_rewrite as r on d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
        join pg_catalog.pg_class as c on c.oid = r.ev_class and c.relkind in ('v', 'm')
        union
        select 'function ' || d.objid::regprocedure::text
        from dependents as d
        where d.classid = 'pg_catalog.pg_proc'::regclass
        union
        select 'policy ' || p.polname || ' on ' || p.polrelid::regclass::text
        from dependents as d
        join pg_catalog.pg_policy as p
            on d.classid = 'pg_catalog.pg_policy'::regclass and p.oid = d.objid and p.polrelid <> d.refobjid
        union
        select 'foreign key ' || k.conname || ' of ' || k.conrelid::regclass::text
        from pg_catalog.pg_constraint as k
        where k.contype = 'f' and (k.confrelid = any (served) or k.conrelid = any (served))
        union
        select 'trigger ' || t.tgname || ' on ' || t.tgrelid::regclass::text
        from pg_catalog.pg_trigger as t
        where t.tgrelid = any (served) and not t.tgisinternal
    )
    select string_agg(named.name, ', ' order by named.name) into found from named;
    if found is not null then
        raise exception using
            errcode = 'dependent_objects_still_exist',
            message = 'a release would leave these on the old vectors: ' || found,
            hint = 'Drop them, or put a function with a string body in their place: it finds the tables by name.';
    end if;
end $$;
