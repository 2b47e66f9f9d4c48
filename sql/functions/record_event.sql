-- Records an action of a user in two_tower.events; returns its id. p_user_id is the user who sent the request by
-- default.
create or replace function public.record_event(
    p_video_id uuid, p_kind text, p_weight double precision default null, p_user_id text default null
)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    kinds constant text[] := array['click', 'view', 'like', 'dislike', 'purchase'];
    acting text := two_tower.recorded_user(p_user_id);
    added bigint;
begin
    if p_kind is null or p_kind <> all (kinds) then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('p_kind is %L; it is one of %s', p_kind, array_to_string(kinds, ', ')),
            hint = 'What was shown is recorded by record_impressions.';
    end if;
    if not p_weight between 0 and 1 then
        raise exception using errcode = 'invalid_parameter_value', message = format('p_weight is %s; it is 0 to 1', p_weight);
    end if;
    if not exists (select from two_tower.stg_videos as v where v.video_id = p_video_id) then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('p_video_id %s is no video of the catalogue', coalesce(p_video_id::text, 'null'));
    end if;
    insert into two_tower.events (user_id, video_id, kind, weight, experiment, variant)
    select acting, p_video_id, p_kind, p_weight, v.experiment, v.variant
    from (select) as one left join two_tower.variant_of(acting) as v on true
    returning event_id into added;
    return added;
end $$;
