-- The videos that a user liked last, of those that have a vector and are not hidden, the newest first.
create or replace function two_tower.liked_lately(p_user_id text, p_rows integer)
returns table (video_id uuid, place integer)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform two_tower.checked_count(p_rows, 'p_rows', 20);
    return query
    select liked.video_id, row_number() over (order by liked.liked_at desc nulls last, liked.video_id)::integer
    from (
        select l.video_id, max(l.liked_at) as liked_at
        from (
            select i.item_id as video_id, i.timestamp as liked_at
            from two_tower.interactions as i
            where i.user_id = p_user_id and i.label = 1
            union all
            select e.video_id, e.happened_at at time zone 'utc'
            from two_tower.events as e
            where e.user_id = p_user_id and e.kind in ('like', 'purchase')
        ) as l
        group by l.video_id
    ) as liked
    inner join public.video_embeddings as v on v.video_id = liked.video_id
    where not exists (select from two_tower.hidden_videos as h where h.video_id = liked.video_id)
    order by 2
    limit coalesce(p_rows, 3);
end $$;
