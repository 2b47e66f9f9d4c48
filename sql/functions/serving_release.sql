-- The serving release, or the one before it. exact_below: if a filter passes a smaller share of the videos, those are
-- compared one by one. At this share, sqrt(320 / N), that takes as long as a scan that continues until enough pass
-- (benchmarks/serving.py). Nulls where there is no such release.
create or replace function two_tower.serving_release(
    p_is_previous boolean default false, out release_id bigint, out exact_below double precision
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    served text;
    newest bigint;
    is_unseen boolean := false;
begin
    if to_regclass('two_tower.model_releases') is null then
        return;
    end if;
    if to_regclass('public.video_embeddings') is not null then
        -- A call that waits for a release finds the new tables by the snapshot of before it, and their row is not in it.
        -- It has the next number. Both tables are locked as in served_version.
        perform from public.user_embeddings limit 0;
        perform from public.video_embeddings limit 0;
        served := substring(obj_description('public.video_embeddings'::regclass, 'pg_class') from 'version (\S+)');
        select r.release_id, r.version <> served into newest, is_unseen
        from two_tower.model_releases as r
        order by r.release_id desc
        limit 1;
    end if;
    select r.release_id, sqrt(320.0 / greatest(r.video_count, 320)) into release_id, exact_below
    from two_tower.model_releases as r
    order by r.release_id desc
    offset (p_is_previous and is_unseen is not true)::integer
    limit 1;
    if is_unseen and not p_is_previous then
        release_id := newest + 1;
    end if;
end $$;
