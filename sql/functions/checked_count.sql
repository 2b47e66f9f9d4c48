-- A number of rows that was asked for, unless it is more than p_most.
create or replace function two_tower.checked_count(p_count integer, p_argument text, p_most integer) returns integer
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_count < 0 or p_count > p_most then
        raise invalid_parameter_value using
            message = format('%s is %s: it is 0 to %s', p_argument, p_count, to_char(p_most, 'FM999,999,999'));
    end if;
    return p_count;
end $$;
