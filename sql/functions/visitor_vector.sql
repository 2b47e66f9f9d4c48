-- The vector of a visitor who likes these videos and of whom nothing else is known, as Recommender computes it by ONNX.
-- Null where the serving version knows none of them, and before the first release.
create or replace function two_tower.visitor_vector(p_video_ids uuid[]) returns extensions.halfvec
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    serving constant text := two_tower.served_version();
    feature_ids smallint[];
    indices integer[];
    ones real[];
begin
    if serving is null then
        return null;
    end if;
    select array_agg(b.feature_id), array_agg(v.index), array_agg(1::real)
    into feature_ids, indices, ones
    from (select distinct l.video_id::text as token from unnest(p_video_ids) as l (video_id)) as liked
    join two_tower.vocab_video as v on v.token = liked.token
    cross join two_tower.slot_blocks as b
    where b.version = serving and b.kind in ('history', 'recency') and b.vocabulary = 'video';
    return extensions.l2_normalize(two_tower.slot_sum(serving, feature_ids, indices, ones))::extensions.halfvec;
end $$;
