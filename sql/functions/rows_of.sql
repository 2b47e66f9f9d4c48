-- A checksum of the rows of relations, which changes whenever a row is written or removed: the transactions that wrote
-- a table's rows, with how many each wrote. Of a view that is read, its rows are hashed instead. A relation that is not
-- there counts as an empty one. Of those that a build made also who may read them and how they are defined.
create or replace function two_tower.rows_of(read text[], made text[]) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation text;
    kind text;
    found text;
    every_one text := '';
begin
    foreach relation in array read || made loop
        kind := (select c.relkind from pg_class as c where c.oid = to_regclass(relation));
        found := '';
        begin
            if kind in ('r', 'p', 'm') then
                execute format(
                    'select string_agg(w.xmin || '':'' || w.row_count, '','' order by w.xmin::text)'
                    ' from (select xmin, count(*) as row_count from %s group by xmin) as w',
                    relation
                ) into found;
            elsif kind is not null and relation = any (read) then
                execute format(
                    'select nullif(count(*), 0) || '':'' || sum(hashtextextended(r::text, 0)) from %s as r', relation
                ) into found;
            end if;
        exception
            when insufficient_privilege then
                -- Some columns alone may be read: in doubt the rows are others.
                found := gen_random_uuid();
        end;
        if relation = any (made) then
            found := concat(
                found, ';',
                (select c.xmin from pg_class as c where c.oid = to_regclass(relation)), ';',
                (
                    select string_agg(a.xmin::text, ',' order by a.attnum) from pg_attribute as a
                    where a.attrelid = to_regclass(relation)
                ), ';',
                (
                    select string_agg(r.xmin::text, ',' order by r.oid) from pg_rewrite as r
                    where r.ev_class = to_regclass(relation)
                )
            );
        end if;
        every_one := every_one || relation || '=' || md5(coalesce(found, '')) || ';';
    end loop;
    if made <> '{}' then
        every_one := concat(
            every_one,
            (select string_agg(p.oid || ':' || p.xmin, ',' order by p.oid) from pg_proc as p
             where p.pronamespace in (to_regnamespace('two_tower'), to_regnamespace('public'))), ';',
            (select string_agg(r.rolname, ',' order by r.rolname) from pg_roles as r)
        );
    end if;
    return md5(every_one);
end $$;
