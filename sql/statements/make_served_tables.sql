-- The served tables. They are empty until the first release, and popularity answers.
create table if not exists public.user_embeddings (
    user_id text primary key, embedding extensions.halfvec(128) not null
);
create table if not exists public.video_embeddings (
    video_id uuid primary key, embedding extensions.halfvec(128) not null
);
