-- The user that a call is for: the one it names, as stored, else the one who sent the request; null for an anonymous
-- request. A caller who may not name another user gets 42501.
create or replace function two_tower.acting_user(p_user_id text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    named text := nullif(two_tower.text_value(p_user_id), '');
begin
    if named is null then
        return nullif(two_tower.reviewer_of_request(), '');
    end if;
    if not two_tower.may_act_for(named) then
        raise exception using errcode = 'insufficient_privilege',
            message = 'p_user_id names another person than the one who calls',
            hint = 'Leave it out, or call as a role that may call recommend_videos.';
    end if;
    return named;
end $$;
