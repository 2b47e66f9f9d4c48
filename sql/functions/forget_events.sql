-- Deletes the events and the accounts of all forgotten people, including later events; returns how many events it
-- deleted.
create or replace function two_tower.forget_events() returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    removed bigint;
begin
    if to_regclass('raw.forgotten_users') is null or not exists (select from raw.forgotten_users) then
        return 0;
    end if;
    create temporary table forgotten_ids on commit drop as
    select known.user_id
    from (select e.user_id from two_tower.events as e union select a.user_id from two_tower.app_users as a) as known
    where encode(
        sha256(convert_to((select max(f.salt) from raw.forgotten_users as f) || ':' || two_tower.text_value(known.user_id), 'UTF8')),
        'hex'
    ) in (select f.user_hash from raw.forgotten_users as f);
    perform set_config('two_tower.events_may_go', 'on', true);
    delete from two_tower.events as e where e.user_id in (select f.user_id from pg_temp.forgotten_ids as f);
    get diagnostics removed = row_count;
    perform set_config('two_tower.events_may_go', 'off', true);
    delete from two_tower.app_users as a where a.user_id in (select f.user_id from pg_temp.forgotten_ids as f);
    drop table pg_temp.forgotten_ids;
    return removed;
end $$;
