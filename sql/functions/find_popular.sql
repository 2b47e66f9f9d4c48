-- The first videos of a ranking (popular, or one of two_tower.video_rankings) that meet a filter's condition. Scores
-- are capped at p_ceiling, the score of the last video before them in the list.
create or replace function two_tower.find_popular(
    p_ranking text, p_wanted integer, p_exclude uuid[], p_viewer text, p_condition text, p_ceiling double precision
)
returns table (video_id uuid, score double precision, rank integer)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    ranking constant text := case
        when p_ranking = 'popular' then 'select p.video_id, p.score, p.popularity_rank as rank from two_tower.popularity as p'
        else 'select p.video_id, p.score, p.rank from two_tower.video_rankings as p where p.ranking = $4'
    end;
    passes text := 'true';
begin
    if p_wanted <= 0 then
        return;
    end if;
    if p_condition is not null then
        -- Reads the ranking in order until enough pass; where few do, it is cheaper to find those first.
        passes := format(
            case
                when two_tower.share_that_passes(p_condition) < 0.01
                    then 'p.video_id in (select videos.video_id from two_tower.videos as videos where %s)'
                else '(select %s from two_tower.videos as videos where videos.video_id = p.video_id)'
            end,
            p_condition
        );
    end if;
    return query execute format('
        select p.video_id, least(p.score, $5), p.rank
        from (%s) as p
        where p.video_id not in (select e.video_id from unnest($1) as e (video_id))
            and ($2 is null or (
                select true from two_tower.interactions as i where i.user_id = $2 and i.item_id = p.video_id
            ) is null)
            and %s
        order by p.rank
        limit $3', ranking, passes) using p_exclude, p_viewer, p_wanted, p_ranking, p_ceiling;
end $$;
