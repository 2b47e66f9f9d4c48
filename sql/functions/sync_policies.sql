-- Our row-level security. The API role sees every row that it may select, even where a team puts policies for others on
-- a table. With p_own_vectors users select their own row of public.user_embeddings and service roles every row; without
-- it, both policies are dropped, and row-level security is disabled if no other policy needs it.
create or replace function two_tower.sync_policies(p_roles jsonb, p_own_vectors boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    served regclass := to_regclass('public.user_embeddings');
    was_shown boolean := exists (
        select from pg_policy as p where p.polrelid = served and p.polname = 'two_tower_own_vector'
    );
    is_shown boolean;
    item record;
begin
    for item in
        select c.oid::regclass as target, lower(a.privilege) as command,
            'two_tower_api' || case a.privilege when 'INSERT' then '_insert' else '' end as policy
        from two_tower.app_tables() as a
        join pg_class as c on c.oid = to_regclass(a.name)
        where pg_has_role(to_regrole('two_tower_api'), 'usage') and c.relkind in ('r', 'p') and pg_has_role(c.relowner, 'usage')
    loop
        continue when exists (select from pg_policy as p where p.polrelid = item.target and p.polname = item.policy);
        execute format(
            'create policy %I on %s for %s to two_tower_api %s (true)', item.policy, item.target, item.command,
            case item.command when 'insert' then 'with check' else 'using' end
        );
    end loop;

    if p_own_vectors and to_regprocedure('two_tower.reviewer_of_request()') is null then
        raise exception using errcode = 'undefined_function',
            message = 'var own_vectors needs the function two_tower.reviewer_of_request()',
            hint = 'It returns the user_id of whom the request is from.';
    end if;
    for item in
        with wanted as (
            select
                w.policy, w.condition,
                array(
                    select r.oid from jsonb_each_text(p_roles) as named join pg_roles as r on r.rolname = named.key
                    where p_own_vectors and named.value = w.tier
                    order by r.oid
                ) as roles
            from (values
                ('two_tower_own_vector', 'user', 'user_id = (select two_tower.reviewer_of_request())'),
                ('two_tower_service', 'service', 'true')
            ) as w (policy, tier, condition)
        )

        select w.policy, w.condition, p.oid is not null as is_there, cardinality(w.roles) > 0 as is_wanted,
            (select string_agg(r::regrole::text, ', ') from unnest(w.roles) as r) as roles
        from wanted as w
        left join pg_policy as p on p.polrelid = served and p.polname = w.policy
        where array(select r from unnest(p.polroles) as r order by r) <> w.roles and served is not null
    loop
        perform two_tower.lock_served_tables();
        if item.is_there then
            execute format('drop policy %I on public.user_embeddings', item.policy);
        end if;
        if item.is_wanted then
            execute format(
                'create policy %I on public.user_embeddings for select to %s using (%s)', item.policy, item.roles, item.condition
            );
        end if;
    end loop;
    is_shown := exists (select from pg_policy as p where p.polrelid = served and p.polname = 'two_tower_own_vector');
    if is_shown and not (select c.relrowsecurity from pg_class as c where c.oid = served) then
        perform two_tower.lock_served_tables();
        alter table public.user_embeddings enable row level security;
    elsif was_shown and not is_shown
        and not exists (select from pg_policy as p where p.polrelid = served and p.polname <> 'two_tower_api')
    then
        perform two_tower.lock_served_tables();
        alter table public.user_embeddings disable row level security;
    end if;
end $$;
