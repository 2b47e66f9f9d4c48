-- The shares of explain_recommendation, by the serving release. The title of a hidden video is not given.
create or replace function two_tower.explain_score(p_user_id text, p_video_id uuid)
returns table (feature text, token text, video_id uuid, title text, share double precision)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    asked extensions.halfvec;
    shown extensions.vector;
    score double precision;
    serving constant text := two_tower.served_version();
    slots record;
    total extensions.vector;
begin
    asked := two_tower.user_vector(p_user_id);
    select v.embedding::extensions.vector, 1 - (v.embedding operator(extensions.<=>) asked)
    into shown, score
    from public.video_embeddings as v
    where v.video_id = p_video_id;
    if score is null then
        return;
    end if;
    slots := two_tower.user_slots(p_user_id);
    if exists (
        select from two_tower.slot_blocks as b
        where b.version = serving
            and b.layout_hash = (select f.layout_hash from two_tower.feature_layout as f limit 1)
    ) then
        total := two_tower.slot_sum(serving, slots.feature_ids, slots.indices, slots."values");
    end if;
    return query
    with shares as (
        select
            w.feature_id,
            w.index,
            w.weight * extensions.inner_product(v.embedding, shown) / extensions.vector_norm(total) as share
        from two_tower.weighed_slots(serving, slots.feature_ids, slots.indices, slots."values") as w
        join two_tower.slot_vectors as v
            on v.version = serving and v.feature_id = w.feature_id and v.index = w.index
        where total is not null
    ),

    named as (
        select
            b.feature,
            coalesce(tags.name, performers.name, vocabulary.token) as token,
            videos.video_id,
            case when not exists (
                select from two_tower.hidden_videos as h where h.video_id = videos.video_id
            ) then videos.title end as title,
            s.share
        from shares as s
        join two_tower.slot_blocks as b on b.version = serving and b.feature_id = s.feature_id
        left join two_tower.vocabularies as vocabulary
            on vocabulary.vocabulary = b.vocabulary and vocabulary.index = s.index
        left join two_tower.stg_tags as tags on b.vocabulary = 'tag' and tags.tag_id = vocabulary.token
        left join two_tower.stg_performers as performers
            on b.vocabulary = 'performer' and performers.performer_id = vocabulary.token
        left join two_tower.videos as videos
            on b.vocabulary = 'video' and videos.video_id = case b.vocabulary when 'video' then vocabulary.token::uuid end
        where s.share <> 0
    ),

    unexplained as (
        select score - coalesce((select sum(s.share) from shares as s), 0) as share
    )

    select n.feature, n.token, n.video_id, n.title, n.share from named as n
    union all
    -- Smaller differences are rounding errors of half precision.
    select case when total is null then 'released vector' else 'since the release' end, null, null, null, u.share
    from unexplained as u where abs(u.share) > 0.002
    order by 5 desc, 1, 2;
end $$;
