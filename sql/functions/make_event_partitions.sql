-- Creates the partitions of two_tower.events for this month, for `months_ahead` more, and for the past months of rows
-- in events_default, and moves those rows into them. Returns how many partitions it created. Months are in UTC. With
-- `kept_months`, partitions of months that ended longer ago are dropped.
create or replace function two_tower.make_event_partitions(months_ahead integer, kept_months integer default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    this_month timestamp := date_trunc('month', now() at time zone 'utc');
    first_day timestamp;
    partition_name text;
    made integer := 0;
begin
    for first_day in
        select this_month + make_interval(months => ahead) from generate_series(0, months_ahead) as ahead
        union
        select date_trunc('month', e.happened_at at time zone 'utc') from two_tower.events_default as e
        where e.happened_at < this_month at time zone 'utc'
        order by 1
    loop
        partition_name := 'events_' || to_char(first_day, 'YYYY_MM');
        continue when to_regclass(format('two_tower.%I', partition_name)) is not null;
        execute format(
            'create table two_tower.%I (like two_tower.events including defaults including constraints)', partition_name
        );
        execute format('alter table two_tower.%I enable row level security', partition_name);
        -- Blocks inserts into events_default until the end of the transaction.
        lock table two_tower.events_default in access exclusive mode;
        perform set_config('two_tower.events_may_go', 'on', true);
        execute format(
            'with moved as (delete from two_tower.events_default where happened_at >= %1$L and happened_at < %2$L returning *)'
            ' insert into two_tower.%3$I select * from moved',
            first_day at time zone 'utc', (first_day + interval '1 month') at time zone 'utc', partition_name
        );
        perform set_config('two_tower.events_may_go', 'off', true);
        execute format(
            'alter table two_tower.events attach partition two_tower.%I for values from (%L) to (%L)',
            partition_name, first_day at time zone 'utc', (first_day + interval '1 month') at time zone 'utc'
        );
        made := made + 1;
    end loop;

    for partition_name in
        select c.relname from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
        where i.inhparent = 'two_tower.events'::regclass and c.relname ~ '^events_\d{4}_\d\d$'
            and to_date(substr(c.relname, 8), 'YYYY_MM') < this_month - make_interval(months => kept_months)
    loop
        execute format('drop table two_tower.%I', partition_name);
    end loop;
    return made;
end $$;
