-- The tables and views that roles other than the owner may use. The API role, which the app's functions run as, holds
-- these privileges; service roles may select where `is_shared`. Tables that do not exist yet are skipped.
create or replace function two_tower.app_tables() returns table (name text, privilege text, is_shared boolean)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
values
    ('public.user_embeddings', 'SELECT', true),
    ('public.video_embeddings', 'SELECT', true),
    ('two_tower.interactions', 'SELECT', true),
    ('two_tower.popularity', 'SELECT', true),
    ('two_tower.videos', 'SELECT', true),
    ('public.user_embeddings_previous', 'SELECT', false),
    ('public.video_embeddings_previous', 'SELECT', false),
    ('two_tower.app_users', 'SELECT', false),
    ('two_tower.boosts', 'SELECT', false),
    ('two_tower.embedded_as_of', 'SELECT', false),
    ('two_tower.events', 'SELECT', false),
    ('two_tower.events', 'INSERT', false),
    ('two_tower.experiments', 'SELECT', false),
    ('two_tower.feature_layout', 'SELECT', false),
    ('two_tower.hidden_videos', 'SELECT', false),
    ('two_tower.int_moment', 'SELECT', false),
    ('two_tower.model_releases', 'SELECT', false),
    ('two_tower.slot_blocks', 'SELECT', false),
    ('two_tower.slot_vectors', 'SELECT', false),
    ('two_tower.stg_performers', 'SELECT', false),
    ('two_tower.stg_tags', 'SELECT', false),
    ('two_tower.stg_user_categories', 'SELECT', false),
    ('two_tower.stg_videos', 'SELECT', false),
    ('two_tower.user_feature_slots', 'SELECT', false),
    ('two_tower.video_rankings', 'SELECT', false),
    ('two_tower.video_sample', 'SELECT', false),
    ('two_tower.vocab_user_category', 'SELECT', false),
    ('two_tower.vocab_video', 'SELECT', false),
    ('two_tower.vocabularies', 'SELECT', false)
$$;
