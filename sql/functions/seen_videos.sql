-- What a user has seen: reviewed, viewed, liked, disliked or bought, up to now. Videos may repeat.
create or replace function two_tower.seen_videos(p_user_id text) returns setof uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select i.item_id from two_tower.interactions as i where i.user_id = p_user_id
    union all
    select e.video_id from two_tower.events as e
    where e.user_id = p_user_id and e.kind in ('view', 'like', 'dislike', 'purchase');
end $$;
