-- A video's score for a user as a sum of shares, one for each slot: its weight times the inner product of its vector
-- with the video's, divided by the length of the sum of all slots. `base` is the share of the bias, which every user
-- has. `since the release` is the part of an older released vector that today's features do not explain. `released
-- vector` is the whole score, where the version has no slots or reads other features. Shares add up to the
-- score that recommend_videos gives before boosts. No rows where the user or the video has no vector.
create or replace function public.explain_recommendation(p_user_id text, p_video_id uuid)
returns table (feature text, token text, video_id uuid, title text, share double precision)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person constant text := two_tower.known_person(p_user_id);
begin
    if exists (select from two_tower.variant_of(person) as v where v.is_previous) then
        return query select * from two_tower.explain_previous_score(person, p_video_id);
    else
        return query select * from two_tower.explain_score(person, p_video_id);
    end if;
end $$;
