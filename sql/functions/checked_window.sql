-- The window in which likes are counted, `month` by default; refuses an unknown one.
create or replace function two_tower.checked_window(p_window text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_window is not null and p_window not in ('day', 'week', 'month', 'year', 'all') then
        raise invalid_parameter_value using
            message = format('p_window is %L; it is day, week, month, year or all', p_window);
    end if;
    return coalesce(p_window, 'month');
end $$;
