-- The user that a call is for (acting_user); an anonymous call that names no user gets 42501.
create or replace function two_tower.known_person(p_user_id text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    person constant text := two_tower.acting_user(p_user_id);
begin
    if person is null then
        raise insufficient_privilege using
            message = 'the request is from nobody',
            hint = 'Sign in, or name p_user_id as a role that may. In place of recommend_for_me such a role calls recommend_videos.';
    end if;
    return person;
end $$;
