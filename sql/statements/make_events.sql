-- What the app tells us and what a team decides: events, who a signed-in account is, hidden and boosted videos,
-- experiments. Made before the first model is built. What is there stays as it is, and is not locked: the app writes
-- all the while.
do $$
begin
    if to_regclass('two_tower.events') is null then
        -- By month of happened_at (make_event_partitions); what has no month yet is in events_default.
        create table two_tower.events (
            event_id bigint generated always as identity,
            -- As every id is stored: a join finds it.
            user_id text not null check (user_id <> '' and user_id = two_tower.text_value(user_id)),
            video_id uuid not null,
            kind text not null
                check (kind in ('impression', 'click', 'view', 'like', 'dislike', 'purchase')),
            -- Of a view the share that was watched. NaN is greater than 1.
            weight real check (weight between 0 and 1),
            -- Of an impression: what made the list, and the place in it.
            release_id bigint,
            rank integer check (rank > 0),
            source text check (source in ('model', 'likes', 'popular')),
            experiment text,
            variant text,
            -- The impressions of one list have one moment.
            happened_at timestamptz not null default now(),
            primary key (event_id, happened_at)
        ) partition by range (happened_at);
        create index events_user_id_happened_at on two_tower.events (user_id, happened_at);
        create table two_tower.events_default partition of two_tower.events default;
        alter table two_tower.events enable row level security;
        alter table two_tower.events_default enable row level security;
        create trigger events_are_append_only before update or delete on two_tower.events
        for each row execute function two_tower.refuse_event_changes();
    end if;

    if to_regclass('two_tower.app_users') is null then
        -- The account that a request names (auth.uid() on Supabase), and the id under which its reviews and vector are.
        create table two_tower.app_users (
            auth_id text primary key,
            user_id text not null check (user_id <> '')
        );
        alter table two_tower.app_users enable row level security;
    end if;

    if to_regclass('two_tower.hidden_videos') is null then
        -- Never in a list.
        create table two_tower.hidden_videos (video_id uuid primary key);
        alter table two_tower.hidden_videos enable row level security;
    end if;

    if to_regclass('two_tower.boosts') is null then
        -- While one holds, a score is (1 + score) * factor - 1.
        create table two_tower.boosts (
            video_id uuid not null,
            factor real not null check (factor > 0 and factor < 'infinity'),
            "from" timestamptz not null default now(),
            "until" timestamptz,
            primary key (video_id, "from")
        );
        alter table two_tower.boosts enable row level security;
    end if;

    if to_regclass('two_tower.experiments') is null then
        -- `share` of the users are served `version`, the others `control`: the version that serves and the one before.
        create table two_tower.experiments (
            name text primary key,
            version text not null,
            control text not null,
            share real not null check (share > 0 and share < 1),
            salt text not null,
            started_at timestamptz not null default now(),
            ended_at timestamptz,
            check (version <> control)
        );
        -- There is one other release, so one experiment runs at a time.
        create unique index experiments_one_runs on two_tower.experiments ((true)) where ended_at is null;
        alter table two_tower.experiments enable row level security;
        create trigger experiments_have_two_versions before insert on two_tower.experiments
        for each row execute function two_tower.check_experiment();
    end if;
end $$;
