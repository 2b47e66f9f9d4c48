-- The user that an event is recorded for (acting_user). An event of nobody gets 42501; an id that a review file may not
-- have gets 22023, since several people would become one.
create or replace function two_tower.recorded_user(p_user_id text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    missing constant text[] := array[
        'NULL', 'null', '\N', 'NaN', 'nan', 'None', '<NA>', 'N/A', '#N/A', '(null)', 'undefined'
    ];
    lost constant text := '\ufffd|^[?]{2,}$|^[0-9]([.][0-9]+)?[eE][+][0-9]+$';
    person constant text := two_tower.acting_user(p_user_id);
begin
    if person is null then
        raise insufficient_privilege using
            message = 'an event is somebody''s: the request is from nobody',
            hint = 'Sign in, or name p_user_id as a role that may.';
    end if;
    if char_length(person) > 500 then
        raise invalid_parameter_value using
            message = format('the user''s id has %s characters; it has at most 500', char_length(person));
    end if;
    if person = any (missing) then
        raise invalid_parameter_value using
            message = format('the user''s id is %L, which programs write for a missing value', person);
    end if;
    if person ~ lost then
        raise invalid_parameter_value using
            message = format('the user''s id is %L, which has lost characters, as �, ??? and 1.2E+15 have', person);
    end if;
    return person;
end $$;
