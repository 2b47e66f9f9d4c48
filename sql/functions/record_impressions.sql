-- Records a list that a user was shown in two_tower.events, its videos in order; returns how many. p_release_id and
-- p_source are the list's columns of these names.
create or replace function public.record_impressions(
    p_video_ids uuid[], p_user_id text default null, p_release_id bigint default null, p_source text default null
)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    sources constant text[] := array['model', 'likes', 'popular'];
    acting text := two_tower.recorded_user(p_user_id);
    unknown text;
    -- Not now(), which is constant in a transaction: two lists of one transaction have to differ.
    shown_at timestamptz := clock_timestamp();
    added bigint;
begin
    if cardinality(p_video_ids) > 10000 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('p_video_ids has %s videos; it has at most 10000', cardinality(p_video_ids));
    end if;
    if p_source <> all (sources) then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('p_source is %L; it is one of %s', p_source, array_to_string(sources, ', '));
    end if;
    if p_release_id < 1 then
        raise exception using errcode = 'invalid_parameter_value', message = format('p_release_id is %s; it is 1 or more', p_release_id);
    end if;
    select coalesce(shown.video_id::text, 'null') into unknown
    from unnest(p_video_ids) with ordinality as shown (video_id, rank)
    where not exists (select from two_tower.stg_videos as v where v.video_id = shown.video_id)
    order by shown.rank limit 1;
    if unknown is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('p_video_ids: %s is no video of the catalogue', unknown);
    end if;
    insert into two_tower.events (user_id, video_id, kind, release_id, rank, source, experiment, variant, happened_at)
    select acting, shown.video_id, 'impression', p_release_id, shown.rank, p_source, v.experiment, v.variant, shown_at
    from unnest(p_video_ids) with ordinality as shown (video_id, rank)
    left join two_tower.variant_of(acting) as v on true;
    get diagnostics added = row_count;
    return added;
end $$;
