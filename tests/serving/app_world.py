"""A database as an app meets it: a catalogue, a release, and the functions of sql/, without dbt."""

from __future__ import annotations

import json
import uuid
from typing import Any

import psycopg

from conftest import PROJECT_DIR
from postgres_server import PostgresServer
from serving.serving_world import clustered

SQL = PROJECT_DIR / "sql"
USERS, VIDEOS = 20, 2000
# What the tables of events are made with.
BEFORE_EVENTS = ("text_value", "refuse_event_changes", "check_experiment")
VERSION = "20260101_000000"
# As macro of_both_releases lists them.
OF_BOTH_RELEASES = (
    *("served_version", "user_vector", "shape_list", "find_videos"),
    *("liked_lately", "liked_rows", "explain_score"),
)
# What dbt makes of a catalogue and its reviews, as far as the functions read it.
WORLD = """
create schema raw; create schema two_tower;
create table two_tower.videos (video_id uuid primary key, title text, thumbnail_url text,
    product_url text, source text, maker text, label text, series text, price double precision,
    released_on date, tag_ids text[] not null, performer_ids text[] not null);
insert into two_tower.videos
select lpad(to_hex(n), 32, '0')::uuid, 'Title ' || n, 'https://e/' || n || '.jpg',
    'https://e/' || n, 'source ' || n % 2, 'maker ' || n % 10, 'label ' || n % 7,
    case when n % 5 = 0 then 'series ' || n % 3 end, n, date '2025-01-01' + n,
    array['every', 'mod3_' || n % 3] || case when n % 400 = 0 then array['rare'] else '{}' end,
    array['p' || n % 4]
from generate_series(1, 2000) as n;
create view two_tower.video_sample as select * from two_tower.videos;
create view two_tower.stg_videos as select video_id from two_tower.videos;
create table two_tower.popularity as
    select video_id, (2001 - price) / 2000 as score, price::integer as popularity_rank
    from two_tower.videos;
create table two_tower.video_rankings as
    select w.ranking, p.video_id, 1.0::double precision / p.popularity_rank as score,
        p.popularity_rank as rank
    from two_tower.popularity as p
    cross join (values ('week'), ('month'), ('new'), ('trending')) as w (ranking)
    where p.popularity_rank <= 30;
create table two_tower.interactions (user_id text, item_id uuid, label smallint,
    "timestamp" timestamp, weight double precision, unique (user_id, item_id));
create table two_tower.int_moment as select timestamp '2026-01-01' as as_of;
create table two_tower.embedded_as_of (version text primary key, as_of timestamp);
create table two_tower.model_releases (release_id bigint, version text, video_count bigint,
    probes integer);
insert into two_tower.model_releases values (7, '20260101_000000', 2000, null);
create table two_tower.feature_layout (feature_id smallint, tower text, feature text, kind text,
    vocabulary text, source_column text, graded_by text, latest integer, decay integer,
    layout_hash text);
create table two_tower.slot_blocks (version text, feature_id smallint, feature text, kind text,
    vocabulary text, width integer, shrinkage real, layout_hash text);
create table two_tower.slot_vectors (version text, feature_id smallint, index integer,
    embedding extensions.vector(128), primary key (version, feature_id, index));
create table two_tower.user_feature_slots (user_id text, feature_ids smallint[],
    indices integer[], "values" real[]);
create table two_tower.vocab_video (token text unique, index integer);
create table two_tower.vocab_user_category (token text unique, index integer);
create table two_tower.stg_user_categories (written_id text, token text);
create view two_tower.vocabularies as
    select 'video' as vocabulary, token, index from two_tower.vocab_video
    union all select 'user_category', token, index from two_tower.vocab_user_category;
create table two_tower.stg_tags (tag_id text, name text);
create table two_tower.stg_performers (performer_id text, name text);
"""
# Macro create_event_stars, with the default of var event_weights.
EVENT_STARS = """
create or replace function two_tower.event_stars(p_kind text, p_weight real)
returns double precision language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
return case p_kind when 'view' then 5.0 * coalesce(p_weight, 1) when 'like' then 5.0
    when 'purchase' then 5.0 when 'dislike' then 0.0 end;
"""
# A tower of one block: who likes a video is where the video is.
SLOTS = """
insert into two_tower.feature_layout
values (1, 'user', 'liked_videos', 'history', 'video', 'reviewed_video_ids', null, 1000, null,
    'hash');
insert into two_tower.slot_blocks values
    ('20260101_000000', -1, 'base', 'bias', null, 1, null, 'hash'),
    ('20260101_000000', 1, 'liked_videos', 'history', 'video', 2000, 0, 'hash');
insert into two_tower.vocab_video
    select video_id::text, popularity_rank - 1 from two_tower.popularity;
-- Who says that they like a video is near it.
insert into two_tower.feature_layout
values (2, 'user', 'user_categories', 'profile', 'user_category', 'user_categories', null, null,
    null, 'hash');
insert into two_tower.slot_blocks values
    ('20260101_000000', 2, 'user_categories', 'profile', 'user_category', 2, null, 'hash');
insert into two_tower.vocab_user_category values ('likes=40', 0), ('likes=77', 1);
insert into two_tower.slot_vectors
    select '20260101_000000', 2, k.index, v.embedding::extensions.vector
    from public.video_embeddings as v
    join two_tower.vocab_user_category as k
        on v.video_id = lpad(to_hex(split_part(k.token, '=', 2)::int), 32, '0')::uuid;
insert into two_tower.slot_vectors
    select '20260101_000000', -1, 0, array_fill(0.01::real, array[128])::extensions.vector;
insert into two_tower.slot_vectors
    select '20260101_000000', 1, k.index, v.embedding::extensions.vector
    from public.video_embeddings as v join two_tower.vocab_video as k on k.token = v.video_id::text;
insert into two_tower.embedded_as_of values ('20260101_000000', '2026-01-01');
"""

Connection = psycopg.Connection[Any]


def video(number: int) -> uuid.UUID:
    """The video of that place in popularity, from 1."""
    return uuid.UUID(int=number)


def make_app(server: PostgresServer, database: str, *, slots: bool = False) -> str:
    """Make the database of the plain role, with a release in it; return its URL."""
    dsn = server.prepare(database)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(WORLD + EVENT_STARS)
        # In no order: that of the project is the release's to get right.
        connection.execute("set check_function_bodies = off")
        files = {path.stem: path.read_text() for path in SQL.glob("functions/*.sql")}
        for name in BEFORE_EVENTS:
            connection.execute(files[name])  # type: ignore[arg-type]
        for name in ("make_events", "make_served_tables"):
            connection.execute((SQL / f"statements/{name}.sql").read_bytes())
        for text in files.values():
            connection.execute(text)  # type: ignore[arg-type]
        for name in OF_BOTH_RELEASES:
            connection.execute(previous(files[name]))  # type: ignore[arg-type]
        for table, ids, rows in (
            ("user_embeddings", [f"user_{n}" for n in range(USERS)], clustered(USERS, 1)),
            ("video_embeddings", [video(n + 1) for n in range(VIDEOS)], clustered(VIDEOS, 2)),
        ):
            with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
                for key, vector in zip(ids, rows, strict=True):
                    copy.write_row((key, str(vector.tolist())))
        connection.execute(
            "create index idx_video_embeddings_cosine on video_embeddings"
            " using ivfflat (embedding extensions.halfvec_cosine_ops) with (lists = 40)"
        )
        if slots:
            connection.execute(SLOTS)
        connection.execute("analyze; select two_tower.tune_search(null)")
    return dsn


def previous(text: str) -> str:
    """As macro of_previous_release has it."""
    for name in OF_BOTH_RELEASES:
        text = text.replace(f"two_tower.{name}(", f"two_tower.{name.replace('_', '_previous_')}(")
    text = text.replace("serving_release()", "serving_release(true)")
    text = text.replace("public.user_embeddings", "public.user_embeddings_previous")
    return text.replace("public.video_embeddings", "public.video_embeddings_previous")


def number(row: Any) -> int:
    return int(row[0].int)


def ask(connection: Connection, function: str, *params: Any, **named: Any) -> list[Any]:
    marks = ["%s"] * len(params) + [f"{name} => %s" for name in named]
    values = [json.dumps(v) if isinstance(v, dict) else v for v in (*params, *named.values())]
    return connection.execute(
        f"select * from public.{function}({', '.join(marks)})",  # type: ignore[arg-type]
        values,
    ).fetchall()
