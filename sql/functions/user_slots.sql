-- A user's features as parallel arrays: those of the latest build, with the histories as the next build would have them
-- if the user has acted since. Of whom the build did not know the categories are read now. Null arrays where there is
-- nothing. What is counted over many reviews (preferred tags, numeric features) waits for the next build.
create or replace function two_tower.user_slots(
    p_user_id text, out feature_ids smallint[], out indices integer[], out "values" real[]
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    built_as_of timestamptz;
begin
    select m.as_of at time zone 'utc' into built_as_of from two_tower.int_moment as m;
    select s.feature_ids, s.indices, s."values" into feature_ids, indices, "values"
    from two_tower.user_feature_slots as s
    where s.user_id = p_user_id;
    -- Neither is there until a build of a version that knows them, and the view goes with the app's table.
    if feature_ids is null and to_regclass('two_tower.vocab_user_category') is not null
        and to_regclass('two_tower.stg_user_categories') is not null
    then
        select array_agg(f.feature_id), array_agg(v.index), array_agg(1::real) into feature_ids, indices, "values"
        from (select distinct c.token from two_tower.stg_user_categories as c where c.written_id = p_user_id) as own
        join two_tower.vocab_user_category as v on v.token = own.token
        cross join two_tower.feature_layout as f
        where f.tower = 'user' and f.vocabulary = 'user_category';
    end if;
    if not exists (
        select from two_tower.events as e
        where e.user_id = p_user_id and e.happened_at > built_as_of
            and two_tower.event_stars(e.kind, e.weight) is not null
    ) then
        return;
    end if;

    with blocks as (
        select f.feature_id, f.kind, f.graded_by is not null as is_graded, f.latest, f.decay
        from two_tower.feature_layout as f
        where f.tower = 'user' and f.vocabulary = 'video' and f.source_column = 'reviewed_video_ids'
    ),

    -- Explicit feedback takes precedence over implicit feedback, as in int_reviews.
    reviews as (
        select
            e.video_id,
            two_tower.event_stars(e.kind, e.weight) / 5 as weight,
            e.happened_at,
            e.event_id,
            e.kind in ('like', 'dislike', 'purchase') as says_so
        from two_tower.events as e
        where e.user_id = p_user_id and e.happened_at > built_as_of
            and two_tower.event_stars(e.kind, e.weight) is not null
        union all
        -- A review without a timestamp counts as made at the next build.
        select i.item_id, i.weight, coalesce(i.timestamp at time zone 'utc', 'infinity'), null, not exists (
            select from two_tower.events as done
            where done.user_id = p_user_id and done.video_id = i.item_id and done.kind in ('click', 'view')
                and done.happened_at = i.timestamp at time zone 'utc'
        )
        from two_tower.interactions as i
        where i.user_id = p_user_id
            and (i.timestamp is null or i.timestamp at time zone 'utc' <= built_as_of)
    ),

    latest as (
        select distinct on (r.video_id) r.video_id, r.weight, r.happened_at
        from reviews as r
        order by r.video_id, r.says_so desc, r.happened_at desc, r.event_id desc nulls last
    ),

    past as (
        select
            l.video_id::text as token,
            l.weight,
            row_number() over (order by l.happened_at desc, l.video_id) as place
        from latest as l
    ),

    slots as (
        select s.feature_id, s.index, s.value
        from unnest(feature_ids, indices, "values") as s (feature_id, index, value)
        where s.feature_id not in (select b.feature_id from blocks as b)
        union all
        select
            b.feature_id,
            v.index,
            case
                when b.kind = 'recency' then exp(-(p.place - 1) / b.decay::double precision)
                when b.is_graded then p.weight * p.weight
                else 1
            end::real
        from past as p
        join two_tower.vocab_video as v on v.token = p.token
        join blocks as b on p.place <= b.latest
    )

    select array_agg(s.feature_id), array_agg(s.index), array_agg(s.value)
    into feature_ids, indices, "values"
    from slots as s;
end $$;
