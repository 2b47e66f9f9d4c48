{#
    Pre-hook of model_releases: the functions that exchange the served tables. They live in the database so that a
    rollback is one statement, from Python, psql or a SQL editor, with no dbt at hand.
    A pair of tables is named by its suffix: '' is served, '_previous' the release before, '_next' is being audited.
#}
{% macro create_release_functions() -%}
    {{ return(adapter.dispatch('create_release_functions')()) }}
{%- endmacro %}

{% macro default__create_release_functions() -%}
{%- endmacro %}

{% macro postgres__create_release_functions() -%}
    {{ followers_function() }}
    {{ lock_function() }}
    {{ privileges_function() }}
    {{ rename_function() }}
    {{ tune_function() }}
    {{ publish_function() }}
    {{ rollback_function() }}
    revoke execute on all functions in schema {{ this.schema }} from public
{%- endmacro %}


{% macro followers_function() %}
-- What would go on reading the old tables after a swap, because Postgres stored their oid and not their name.
create or replace function two_tower.assert_nothing_follows_old_tables() returns void
language plpgsql set search_path = '' as $$
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
{% endmacro %}


{% macro lock_function() %}
-- Both tables or neither: who waits for a lock makes all later readers queue, so it waits briefly and gives way.
create or replace function two_tower.lock_served_tables() returns void
language plpgsql as $$
declare
    former text := current_setting('lock_timeout');
begin
    if to_regclass('public.user_embeddings') is null or to_regclass('public.video_embeddings') is null then
        return;
    end if;
    for attempt in 1..20 loop
        begin
            perform set_config('lock_timeout', '500ms', true);
            lock table public.user_embeddings, public.video_embeddings in access exclusive mode;
            perform set_config('lock_timeout', former, true);
            return;
        exception when lock_not_available or deadlock_detected then
            perform pg_sleep(0.5);
        end;
    end loop;
    raise exception using
        errcode = 'lock_not_available',
        message = 'a long transaction holds public.user_embeddings or public.video_embeddings: nothing was swapped',
        hint = 'select pid, query from pg_stat_activity order by xact_start shows the oldest; then try again.';
end $$;
{% endmacro %}


{% macro privileges_function() %}
-- Grants, the row-level security flags and the policies stay with a table: the one that takes its place gets the same.
create or replace function two_tower.copy_privileges(source regclass, destination regclass) returns void
language plpgsql as $$
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
        ) as granted
        cross join lateral aclexplode(granted.acl) as a
        where a.grantee <> granted.relowner
    loop
        execute format('grant %s on %s to %s%s', item.privilege, destination, item.grantee, item.with_option);
    end loop;

    for item in select p.polname from pg_policy as p where p.polrelid = destination loop
        execute format('drop policy %I on %s', item.polname, destination);
    end loop;
    for item in
        select
            p.polname,
            case when p.polpermissive then 'permissive' else 'restrictive' end as kind,
            case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end as command,
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
{% endmacro %}


{% macro rename_function() %}
-- The key and the index keep their names when a table is renamed, so they are renamed with it.
create or replace function two_tower.rename_embeddings(base text, old_suffix text, new_suffix text) returns void
language plpgsql as $$
declare
    renamed text := base || new_suffix;
    key_name name;
begin
    execute format('alter table public.%I rename to %I', base || old_suffix, renamed);
    select conname into key_name from pg_constraint
    where conrelid = format('public.%I', renamed)::regclass and contype = 'p';
    if key_name is distinct from renamed || '_pkey' and key_name is not null then
        execute format('alter table public.%I rename constraint %I to %I', renamed, key_name, renamed || '_pkey');
    end if;
    execute format(
        'alter index if exists public.%I rename to %I',
        'idx_' || base || '_cosine' || old_suffix, 'idx_' || base || '_cosine' || new_suffix
    );
end $$;
{% endmacro %}


{% macro tune_function() %}
-- Whether the functions search by the index, and how far, belongs to a release.
create or replace function two_tower.tune_search(probes integer) returns void
language plpgsql as $$
declare
    target regprocedure;
begin
    -- Only a session that has loaded pgvector knows its settings, and only then may others than a superuser set them.
    perform '[1]'::{{ pgvector_schema() }}.halfvec;
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
{% endmacro %}


{% macro publish_function() %}
create or replace function two_tower.publish_release() returns void
language plpgsql as $$
declare
    base text;
    base_names text[] := array['user_embeddings', 'video_embeddings'];
begin
    perform two_tower.assert_nothing_follows_old_tables();
    perform two_tower.lock_served_tables();
    foreach base in array base_names loop
        execute format('drop table if exists public.%I', base || '_previous');
        perform two_tower.copy_privileges(
            format('public.%I', base)::regclass, format('two_tower.%I', base || '_next')::regclass
        );
        perform two_tower.rename_embeddings(base, '', '_previous');
        execute format('alter table two_tower.%I set schema public', base || '_next');
        perform two_tower.rename_embeddings(base, '_next', '');
    end loop;
    perform two_tower.tune_search((select probes from two_tower.model_releases order by release_id desc limit 1));
end $$;
{% endmacro %}


{% macro rollback_function() %}
-- Exchanges the served tables with those of the release before. Run as `select * from two_tower.rollback_release()`.
create or replace function two_tower.rollback_release() returns table (version_from text, version_to text)
language plpgsql as $$
declare
    base text;
    base_names text[] := array['user_embeddings', 'video_embeddings'];
    serving record;
    former record;
begin
    select * into serving from two_tower.model_releases as r order by r.release_id desc limit 1;
    select * into former from two_tower.model_releases as r order by r.release_id desc offset 1 limit 1;
    if former.release_id is null or to_regclass('public.video_embeddings_previous') is null then
        raise exception using errcode = 'no_data_found', message = 'there is no release to go back to',
            hint = 'The previous pair of tables is kept from the second release on.';
    end if;
    if serving.is_rollback then
        raise exception using errcode = 'no_data_found',
            message = format('version %s was already put back in place of %s', serving.version, former.version),
            hint = 'two-tower rollback VERSION serves any version again; two-tower releases lists them.';
    end if;
    perform two_tower.assert_nothing_follows_old_tables();
    perform two_tower.lock_served_tables();
    foreach base in array base_names loop
        perform two_tower.copy_privileges(
            format('public.%I', base)::regclass, format('public.%I', base || '_previous')::regclass
        );
        perform two_tower.rename_embeddings(base, '', '_withdrawn');
        perform two_tower.rename_embeddings(base, '_previous', '');
        perform two_tower.rename_embeddings(base, '_withdrawn', '_previous');
    end loop;
    perform two_tower.tune_search(former.probes);
    insert into two_tower.model_releases (
        release_id, version, released_at, is_rollback, user_count, video_count, lists, probes, is_exact, index_recall
    ) values (
        serving.release_id + 1, former.version, now() at time zone 'utc', true, former.user_count,
        former.video_count, former.lists, former.probes, former.is_exact, former.index_recall
    );
    return query select serving.version::text, former.version::text;
end $$;
{% endmacro %}


{# Post-hook of model_releases: the audited tables take the place of the served ones. #}
{% macro publish_release() -%}
    {{ return(adapter.dispatch('publish_release')()) }}
{%- endmacro %}

{% macro postgres__publish_release() -%}
    select two_tower.publish_release()
{%- endmacro %}

{# DuckDB cannot move a table to another schema; with one writer and no server, a copy in the same transaction does. #}
{% macro duckdb__publish_release() -%}
    {% for base in ('user_embeddings', 'video_embeddings') -%}
    create or replace table public.{{ base }}_previous as select * from public.{{ base }};
    create or replace table public.{{ base }} as select * from two_tower.{{ base }}_next;
    drop table two_tower.{{ base }}_next;
    {% endfor -%}
{%- endmacro %}
