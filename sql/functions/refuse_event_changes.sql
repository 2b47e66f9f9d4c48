-- Trigger of two_tower.events, which is append-only. Only make_event_partitions and forget-user may change rows, each
-- in its own transaction. Old months are dropped as whole partitions.
create or replace function two_tower.refuse_event_changes() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' and current_setting('two_tower.events_may_go', true) = 'on' then
        return old;
    end if;
    raise exception using errcode = 'object_not_in_prerequisite_state',
        message = 'two_tower.events is append-only', hint = 'two-tower forget-user removes a person.';
end $$;
