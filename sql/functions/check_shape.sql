-- Refuses a long list that is diverse or under a cap: each video is compared with all before it.
create or replace function two_tower.check_shape(p_wanted integer, p_is_compared boolean) returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_wanted > 200 and p_is_compared then
        raise invalid_parameter_value using
            message = format('p_limit and p_offset are %s together: of a diverse or capped list 200 are the most', p_wanted);
    end if;
end $$;
