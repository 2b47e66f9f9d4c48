-- The users of a batch, unless it would cost too much.
create or replace function two_tower.checked_batch(p_user_ids text[], p_limit integer) returns text[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if cardinality(p_user_ids) > 10000 then
        raise invalid_parameter_value using
            message = format('%s users were given: 10,000 are the most', cardinality(p_user_ids));
    elsif p_limit < 0 or p_limit > 100 then
        raise invalid_parameter_value using message = format('p_limit is %s: in a batch it is 0 to 100', p_limit);
    end if;
    return p_user_ids;
end $$;
