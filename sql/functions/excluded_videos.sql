-- Videos that a list must not contain: hidden ones, those that the caller names (checked_ids), and those that the
-- viewer has seen since the last build. Videos seen before are in two_tower.interactions, where the search looks them
-- up.
create or replace function two_tower.excluded_videos(p_exclude uuid[], p_viewer text) returns uuid[]
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    excluded uuid[] := p_exclude || array(select h.video_id from two_tower.hidden_videos as h);
    built_as_of timestamptz;
begin
    if p_viewer is null then
        return excluded;
    end if;
    -- As a variable, unlike as a subquery, it rules out earlier months before their partitions are opened.
    select m.as_of at time zone 'utc' into built_as_of from two_tower.int_moment as m;
    return excluded || array(
        select e.video_id from two_tower.events as e
        where e.user_id = p_viewer and e.kind in ('view', 'like', 'dislike', 'purchase') and e.happened_at > built_as_of
    );
end $$;
