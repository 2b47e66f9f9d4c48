-- The user who sent a request, by the JWT claims that PostgREST hands on; null for an anonymous request. A team that
-- identifies its users differently writes its own: this one is created only where none exists.
do $do$
begin
    if to_regprocedure('two_tower.reviewer_of_request()') is null then
        create function two_tower.reviewer_of_request() returns text
        language plpgsql stable security definer
        set search_path = pg_catalog, pg_temp
        as $$
        declare
            account text;
        begin
            begin
                account := nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub';
            exception when data_exception then
                raise invalid_parameter_value using
                    message = 'the setting request.jwt.claims is no JSON', hint = 'Write {"sub": "the account''s id"}.';
            end;
            return two_tower.text_value(coalesce(
                (select a.user_id from two_tower.app_users as a where a.auth_id = account), account
            ));
        end $$;
    end if;
end $do$;
