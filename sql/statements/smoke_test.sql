-- Last statement of a release, in its transaction: the app's question, for a user with a vector and for an unknown one.
do $$
declare
    -- The message is kept in two_tower.pipeline_runs, so it does not name a user.
    stranger constant text := 'nobody has this name';
    asked text;
begin
    foreach asked in array array[(select min(users.user_id) from public.user_embeddings as users), stranger] loop
        if not exists (
            select from public.recommend_videos(asked) as answer
            join two_tower.videos as videos on videos.video_id = answer.video_id
        ) then
            raise exception 'recommend_videos would have no answer for a user %: nothing was released',
                case asked when stranger then 'that nobody knows' else 'with a vector' end;
        end if;
    end loop;
end $$;
