-- Whether the caller may ask and record for a user: a caller that may call recommend_videos for everybody, others only
-- for themselves. The caller is the role of `set role`, as PostgREST sets it, else that of the session: in a definer
-- function current_user is the function's owner.
create or replace function two_tower.may_act_for(p_user_id text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    caller name := coalesce(nullif(current_setting('role', true), 'none'), session_user);
begin
    return two_tower.text_value(p_user_id) is not distinct from two_tower.reviewer_of_request() or exists (
        -- A function of this name that belongs to another role does not count.
        select from pg_proc as p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'recommend_videos'
            and pg_get_userbyid(p.proowner) in (
                'two_tower_api', pg_get_userbyid((select c.relowner from pg_class as c where c.oid = 'two_tower.events'::regclass))
            )
            and has_function_privilege(caller, p.oid, 'execute')
    );
end $$;
