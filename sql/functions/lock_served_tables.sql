-- Locks both tables or neither. Later readers queue behind a waiting lock, so it waits half a second, gives up and
-- tries again, 20 times.
create or replace function two_tower.lock_served_tables() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
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
