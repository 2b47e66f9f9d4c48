-- Refuses arguments of a call that would cost too much.
create or replace function two_tower.check_bounds(p_limit integer, p_offset integer) returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_limit < 0 or p_limit > 1000 then
        raise invalid_parameter_value using message = format('p_limit is %s: it is 0 to 1,000', p_limit);
    elsif p_offset < 0 or p_offset > 10000 then
        raise invalid_parameter_value using message = format('p_offset is %s: it is 0 to 10,000', p_offset);
    end if;
end $$;
