-- The functions and who may call each. The tiers are visitor, user and service; each includes those before it.
-- Functions of tier `owner` are for the owner only. A function of two_tower without a row is for the API role.
-- Functions that do not exist yet are skipped.
create or replace function two_tower.app_functions() returns table (name text, tier text)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
values
    ('public.similar_videos', 'visitor'),
    ('public.recommend_for_likes', 'visitor'),
    ('public.popular_videos', 'visitor'),
    ('public.new_videos', 'visitor'),
    ('public.trending_videos', 'visitor'),
    ('public.recommend_for_me', 'user'),
    ('public.because_you_watched', 'user'),
    ('public.explain_recommendation', 'user'),
    ('public.record_event', 'user'),
    ('public.record_impressions', 'user'),
    ('public.recommend_videos', 'service'),
    ('public.recommend_for_vector', 'service'),
    ('public.recommend_batch', 'service'),
    ('public.rank_videos', 'service'),
    ('public.similar_users', 'service'),
    ('two_tower.app_functions', 'owner'),
    ('two_tower.app_grants', 'owner'),
    ('two_tower.app_tables', 'owner'),
    ('two_tower.assert_nothing_follows_old_tables', 'owner'),
    ('two_tower.copy_privileges', 'owner'),
    ('two_tower.granted_objects', 'owner'),
    ('two_tower.lock_served_tables', 'owner'),
    ('two_tower.make_event_partitions', 'owner'),
    ('two_tower.forget_events', 'owner'),
    ('two_tower.publish_release', 'owner'),
    ('two_tower.rename_embeddings', 'owner'),
    ('two_tower.rollback_release', 'owner'),
    ('two_tower.sync_api_role', 'owner'),
    ('two_tower.sync_grants', 'owner'),
    ('two_tower.sync_policies', 'owner'),
    ('two_tower.tune_search', 'owner'),
    ('two_tower.wanted_grants', 'owner')
$$;
