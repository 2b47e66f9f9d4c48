-- The last of a release, in its transaction: ask what the app asks, for a user with a vector and for one that nobody
-- knows.
do $$
declare
    -- The message is kept (two_tower.pipeline_runs): it names nobody.
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
