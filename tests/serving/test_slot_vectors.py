"""Postgres encodes a person by itself, as ONNX does, and says what a score is made of."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import tiny_model
import torch
from numpy.typing import NDArray

from conftest import PROJECT_DIR, folders, make_settings
from postgres_server import PostgresServer
from serving.app_world import BEFORE_EVENTS, EVENT_STARS, OF_BOTH_RELEASES, previous
from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.core.settings import Settings
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.model.layout import PAST_KINDS, Layout
from two_tower.model.onnx import write_onnx
from two_tower.model.towers import Towers, save_towers
from two_tower.serving.embed import embed
from two_tower.serving.refresh import refresh

FIRST, SECOND, THIRD = "20260101_000001", "20260101_000002", "20260101_000003"
VIDEOS, TOKENS, KNOWN = 90, 80, 70  # of the catalogue, of the vocabulary, of the model
USERS = 40
SAID, SILENT = (
    4,
    3,
)  # categories that the model knows, and one of them of which it has learned nothing
HALF = 2e-3  # what half precision keeps of a component
AS_OF = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATEST, DECAY, MOST = 6, 2, 12  # of the recency block; the most that a history holds
NAMES = ("feature_id", "tower", "feature", "kind", "position", "vocabulary", "width")
LAYOUT_ROWS = [
    (1, "user", "preferred_tag_ids", "multi_hot", 0, "tag", 5),
    (2, "user", "like_count_30d", "numeric", 1, None, 1),
    (10, "user", "relevant_video_ids", "history", 2, "video", KNOWN),
    (6, "user", "reviewed_video_ids", "history", 3, "video", KNOWN),
    (9, "user", "recent_video_ids", "recency", 4, "video", KNOWN),
    (12, "user", "user_categories", "profile", 5, "user_category", SAID),
    (108, "item", "video_id", "identity", 0, "video", KNOWN),
    (107, "item", "price", "numeric", 1, None, 1),
]
# As the model feature_layout has them: source_column, graded_by, latest, decay.
MADE_OF = {
    10: ("reviewed_video_ids", "review_relevances", MOST, None),
    6: ("reviewed_video_ids", None, MOST, None),
    9: ("reviewed_video_ids", None, LATEST, DECAY),
}
TABLES = """
create schema if not exists two_tower;
create table two_tower.feature_layout (feature_id smallint, tower text, feature text, kind text,
    position integer, vocabulary text, width integer, layout_hash text, source_column text,
    graded_by text, latest integer, decay integer);
create table two_tower.feature_layout_versions
    (input_schema_version integer, layout_hash text, first_seen_at timestamp);
create table two_tower.item_feature_slots (video_id uuid, feature_ids smallint[],
    indices integer[], "values" real[]);
create table two_tower.user_feature_slots (user_id text primary key, feature_ids smallint[],
    indices integer[], "values" real[]);
create table two_tower.vocab_video (token text unique, index integer unique);
create table two_tower.vocab_tag (token text unique, index integer unique);
create table two_tower.vocab_user_category (token text unique, index integer unique);
create table two_tower.stg_user_categories (written_id text, token text);
create view two_tower.vocabularies as
    select 'video' as vocabulary, token, index from two_tower.vocab_video
    union all select 'tag', token, index from two_tower.vocab_tag
    union all select 'user_category', token, index from two_tower.vocab_user_category;
create table two_tower.stg_tags (tag_id text, name text);
create table two_tower.stg_performers (performer_id text, name text);
create table two_tower.videos (video_id uuid primary key, title text, thumbnail_url text,
    product_url text, maker text, series text);
create view two_tower.video_sample as select * from two_tower.videos;
create table two_tower.popularity (video_id uuid, score double precision, popularity_rank integer);
create table two_tower.interactions
    (user_id text, item_id uuid, weight double precision, timestamp timestamp);
create table two_tower.int_moment (as_of timestamp);
create table two_tower.model_releases (release_id bigint, version text, video_count bigint);
"""
FUNCTIONS = sorted(path.stem for path in (PROJECT_DIR / "sql/functions").glob("*.sql"))
SQL_FILES = (
    *(f"functions/{name}" for name in BEFORE_EVENTS),
    *("statements/make_events", "statements/make_served_tables"),
    *(f"functions/{name}" for name in FUNCTIONS),
)
Connection = psycopg.Connection[Any]


def video_id(number: int) -> str:
    return str(uuid.UUID(int=1000 + 7 * number))


def layout(layout_hash: str = "hash") -> Layout:
    rows = [dict(zip(NAMES, row, strict=True)) for row in LAYOUT_ROWS]
    return Layout.from_rows(rows, layout_hash, 1)


def publish(settings: Settings, version: str, folder: Path, frozen: Layout | None = None) -> None:
    """Publish towers with weights of their own and a bias that counts."""
    frozen = frozen or layout()
    towers = Towers(frozen, seed=int(version[-1]))
    for name, tower in towers.towers.items():
        torch.nn.init.normal_(tower.bias, std=0.1, generator=torch.Generator().manual_seed(1))
        for block in frozen.blocks(name):  # type: ignore[arg-type]
            if block.kind == "profile" and block.width > SILENT:
                tower.weight.data[block.offset + SILENT] = 0
            if block.kind == "numeric":  # so that the users are not all alike
                tower.weight.data[block.offset] *= 0.05
    files = {"onnx": folder / f"{version}.onnx", "pkl": folder / f"{version}.pkl"}
    write_onnx(files["onnx"], towers.eval(), {})
    save_towers(files["pkl"], towers)
    meta = {
        "trained_at": "2026-01-01T00:00:00Z",
        "dim": 128,
        "loss": "none",
        "metrics": {},
        "input_schema_version": 1,
        "layout_hash": frozen.layout_hash,
        "model_meta": {"layout": frozen.to_dict(), **tiny_model.vocabulary_sizes(frozen)},
    }
    Registry(settings).publish(version, files, meta)


Review = tuple[int, float, datetime | None]  # video, weight (stars / 5), moment
Slots = tuple[list[int], list[int], list[float]]


def history_slots(reviews: list[Review], as_of: datetime = AS_OF) -> Slots:
    """The blocks of past videos as dbt numbers them: macros user_features and feature_slots."""
    at = sorted(reviews, key=lambda r: video_id(r[0]))
    past = sorted(at, key=lambda r: r[2] or as_of, reverse=True)[:MOST]
    rows = []
    for place, (video, weight, _) in enumerate(past):
        if video < TOKENS:
            rows += [(10, video, weight * weight), (6, video, 1.0)]
            if place < LATEST:
                rows.append((9, video, float(np.exp(-place / DECAY))))
    ids, indices, values = map(list, zip(*sorted(rows), strict=True)) if rows else ([], [], [])
    return ids, indices, values


def reviews_of(number: int) -> list[Review]:
    """What user `number` has reviewed: up to 20 videos, one of them at no known moment."""
    rng = np.random.default_rng(number)
    count = int(rng.integers(1, 21))
    videos = rng.choice(VIDEOS, count, replace=False)
    weights = rng.choice([0.2, 0.6, 0.8, 1.0], count)
    moments = [AS_OF - timedelta(hours=int(hours)) for hours in rng.choice(900, count)]
    found: list[Review] = [
        (int(video), float(weight), moment)
        for video, weight, moment in zip(videos, weights, moments, strict=True)
    ]
    found[0] = (*found[0][:2], None)
    return found


def make_world(warehouse: Warehouse) -> None:
    for statement in TABLES.split(";\n")[:-1]:
        warehouse.execute(statement)
    for row in LAYOUT_ROWS:
        warehouse.execute(
            "insert into two_tower.feature_layout values (?, ?, ?, ?, ?, ?, ?, 'hash', ?, ?, ?, ?)",
            (*row, *MADE_OF.get(row[0], (row[2], None, None, None))),
        )
    warehouse.execute(
        "insert into two_tower.feature_layout_versions values (1, 'hash', timestamp '2026-01-01')"
    )
    warehouse.execute("insert into two_tower.int_moment values (?)", (AS_OF.replace(tzinfo=None),))
    for number in range(5):
        warehouse.execute("insert into two_tower.vocab_tag values (?, ?)", (f"t{number}", number))
        warehouse.execute(
            "insert into two_tower.stg_tags values (?, ?)", (f"t{number}", f"Tag {number}")
        )
    for number in range(SAID + 1):
        warehouse.execute(
            "insert into two_tower.vocab_user_category values (?, ?)", (f"said={number}", number)
        )
    for number in range(VIDEOS):
        key = video_id(number)
        warehouse.execute(
            "insert into two_tower.videos (video_id, title) values (?, ?)", (key, f"Title {number}")
        )
        if number < TOKENS:
            warehouse.execute("insert into two_tower.vocab_video values (?, ?)", (key, number))
        warehouse.execute(
            "insert into two_tower.item_feature_slots values (?, ?, ?, ?)",
            (key, [108, 107], [number, 0], [1.0, number / VIDEOS]),
        )
    for number in range(USERS):
        reviews = reviews_of(number)
        ids, indices, values = history_slots(reviews)
        tags = [number % 5, (number + 1) % 5]
        warehouse.execute(
            "insert into two_tower.user_feature_slots values (?, ?, ?, ?)",
            (
                f"u{number}",
                [1, 1, 2, *ids],
                [*tags, 0, *indices],
                [1.0, 1.0, np.log(1.0 + number), *values],
            ),
        )
        for video, weight, moment in reviews:
            warehouse.execute(
                "insert into two_tower.interactions values (?, ?, ?, ?)",
                (f"u{number}", video_id(video), weight, moment and moment.replace(tzinfo=None)),
            )


def serve(warehouse: Warehouse, version: str) -> None:
    """Let what is landed serve, as a release does, and keep what served."""
    for base, key in (("user_embeddings", "user_id"), ("video_embeddings", "video_id")):
        warehouse.execute(f"drop table if exists public.{base}_previous")
        warehouse.execute(f"alter table if exists public.{base} rename to {base}_previous")
        warehouse.execute(
            f"create table public.{base} as select {key}, embedding from two_tower.{base}_landing"
        )
        warehouse.execute(f"alter table public.{base} add primary key ({key})")
    warehouse.execute(
        "insert into two_tower.model_releases"
        " select coalesce(max(release_id), 0) + 1, ? from two_tower.model_releases",
        (version,),
    )


@pytest.fixture(scope="module", params=["extensions", '"vectors of us"'])
def dsn(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> str:
    """A plain role's database, pgvector where the files name it and elsewhere."""
    return postgres_server.prepare(f"slots_{len(request.param)}", extensions=request.param)


@pytest.fixture(scope="module")
def settings(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return prepare(dsn, tmp_path_factory.mktemp("slots"))


@pytest.fixture
def own(postgres_server: PostgresServer, tmp_path: Path) -> tuple[Settings, str]:
    """The same world, for a test that leaves it changed."""
    dsn = postgres_server.prepare(tmp_path.name)
    return prepare(dsn, tmp_path), dsn


def prepare(dsn: str, folder: Path) -> Settings:
    """One version that serves, another that served before, and a third."""
    settings = make_settings("postgres", database_url=dsn, **folders(folder))
    with open_warehouse(settings) as warehouse:
        make_world(warehouse)
        for version in (FIRST, SECOND, THIRD):
            publish(settings, version, folder)
        for version in (FIRST, SECOND):
            embed(settings, version)
            serve(warehouse, version)
        schema = warehouse.fetch(
            "select extnamespace::regnamespace::text as name from pg_extension"
            " where extname = 'vector'"
        )[0]["name"]
        warehouse.execute("set check_function_bodies = off")
        warehouse.execute(EVENT_STARS)
        for name in SQL_FILES:
            text = (PROJECT_DIR / f"sql/{name}.sql").read_text("utf-8")
            warehouse.execute(text.replace("extensions.", f"{schema}."))
        for name in OF_BOTH_RELEASES:
            text = (PROJECT_DIR / f"sql/functions/{name}.sql").read_text("utf-8")
            warehouse.execute(previous(text).replace("extensions.", f"{schema}."))
    return settings


@pytest.fixture
def connection(settings: Settings, dsn: str) -> Iterator[Connection]:
    """A session whose changes are undone."""
    with psycopg.connect(dsn) as connection:
        yield connection
        connection.rollback()


def vector(connection: Connection, call: str, *params: Any) -> NDArray[np.float32] | None:
    row = connection.execute(f"select {call}::text".encode(), params).fetchone()
    assert row is not None
    return None if row[0] is None else np.array(eval(row[0]), dtype=np.float32)


def visitor(connection: Connection, likes: list[str | None]) -> NDArray[np.float32] | None:
    return vector(connection, "two_tower.visitor_vector(%s::uuid[])", likes)


def user(connection: Connection, user_id: str) -> NDArray[np.float32] | None:
    return vector(connection, "two_tower.user_vector(%s)", user_id)


def encoded(settings: Settings, slots: Slots, version: str = SECOND) -> NDArray[np.float32]:
    encoder = Encoder(Registry(settings).fetch(version))
    ids, indices, values = map(np.asarray, slots)
    rows = encoder.layout.slots("user", ids, indices, values, np.array([0, len(ids)]))
    return encoder.by_onnx_runtime("user", rows)[0]


def stored_slots(connection: Connection, user_id: str) -> Slots:
    row = connection.execute(
        'select feature_ids, indices, "values" from two_tower.user_feature_slots'
        " where user_id = %s",
        [user_id],
    ).fetchone()
    assert row is not None
    return row


def record(connection: Connection, user_id: str, video: int, kind: str, **of: Any) -> None:
    connection.execute(
        "insert into two_tower.events (user_id, video_id, kind, weight, happened_at)"
        " values (%s, %s, %s, %s, %s)",
        (
            user_id,
            video_id(video),
            kind,
            of.get("weight"),
            AS_OF + timedelta(minutes=of.get("minute", 1)),
        ),
    )


# --- visitors


def test_a_visitor_is_encoded_as_by_onnx(connection: Connection, settings: Settings) -> None:
    rng = np.random.default_rng(0)
    past = [block.feature_id for block in layout().user if block.kind in PAST_KINDS]
    assert len(past) == len(MADE_OF)
    worst = 0.0
    for likes in range(1, 51):
        liked = [video_id(int(number)) for number in rng.choice(TOKENS, likes, replace=False)]
        known = [number for number in range(TOKENS) if video_id(number) in liked]
        slots = [(feature_id, number) for feature_id in past for number in known]
        ids, indices = map(list, zip(*slots, strict=True))
        expected = encoded(settings, (ids, indices, [1.0] * len(slots)))
        found = visitor(connection, list(liked))
        if not any(like in {video_id(n) for n in range(KNOWN)} for like in liked):
            assert found is None  # ONNX gives the bias
            continue
        assert found is not None
        worst = max(worst, float(np.abs(found - expected).max()))
    assert worst < HALF


def test_of_a_visitor_only_known_likes_count_each_once(connection: Connection) -> None:
    alone = visitor(connection, [video_id(3), video_id(4)])
    assert alone is not None
    mixed = [video_id(4), None, video_id(3), str(uuid.uuid4()), video_id(3), video_id(VIDEOS - 1)]
    # Of the vocabulary, but not of the model.
    mixed.append(video_id(KNOWN + 1))
    assert np.array_equal(visitor(connection, mixed), alone)
    for nothing in ([], [None], [str(uuid.uuid4())], [video_id(KNOWN + 1)]):
        assert visitor(connection, nothing) is None
    assert vector(connection, "two_tower.visitor_vector(null)") is None


def test_before_a_release_a_visitor_has_no_vector(connection: Connection) -> None:
    connection.execute("delete from two_tower.model_releases")
    assert visitor(connection, [video_id(3)]) is None
    for table in ("model_releases", "slot_blocks", "slot_vectors", "embedded_as_of"):
        connection.execute(f"drop table two_tower.{table}")
    assert visitor(connection, [video_id(3)]) is None
    assert user(connection, "nobody") is None


def test_a_rollback_reads_the_former_versions_slots(
    connection: Connection, settings: Settings
) -> None:
    ids = [10, 6, 9]
    expected = encoded(settings, (ids, [5] * 3, [1.0] * 3), FIRST)
    connection.execute("insert into two_tower.model_releases values (9, %s)", [FIRST])
    found = visitor(connection, [video_id(5)])
    assert found is not None
    assert np.abs(found - expected).max() < HALF


def test_a_visitor_is_encoded_in_no_time(connection: Connection) -> None:
    """Printed, not asserted: other work shares the cores."""
    for likes in (1, 20, 80, 1000):
        listed = [video_id(number % TOKENS) for number in range(likes)]
        call = "select two_tower.visitor_vector(%s::uuid[])"
        for _ in range(10):
            connection.execute(call, [listed])
        started = time.perf_counter()
        for _ in range(50):
            connection.execute(call, [listed])
        print(f"{likes} likes: {20 * (time.perf_counter() - started):.2f} ms")


# --- users


def test_without_newer_events_a_users_vector_is_the_released_one(connection: Connection) -> None:
    for number in range(USERS):
        released = vector(
            connection,
            "(select embedding from public.user_embeddings where user_id = %s)",
            f"u{number}",
        )
        record(connection, f"u{number}", 3, "view", minute=-5)  # it is among the features
        record(connection, f"u{number}", 3, "click")  # it counts nothing
        assert np.array_equal(user(connection, f"u{number}"), released)
    assert user(connection, "nobody") is None


def test_a_user_without_a_vector_has_that_of_their_slots(
    connection: Connection, settings: Settings
) -> None:
    """And so the sums are those of ONNX for every user, whatever their slots."""
    connection.execute("truncate public.user_embeddings")
    for number in range(USERS):
        found = user(connection, f"u{number}")
        assert found is not None
        expected = encoded(settings, stored_slots(connection, f"u{number}"))
        assert np.abs(found - expected).max() < HALF


def test_a_new_user_is_personal_from_the_first_like(
    connection: Connection, settings: Settings
) -> None:
    record(connection, "new", 12, "like")
    found = user(connection, "new")
    assert found is not None
    assert np.abs(found - encoded(settings, ([10, 6, 9], [12] * 3, [1.0] * 3))).max() < HALF


def say(connection: Connection, user_id: str, *said: object) -> None:
    for value in said:
        connection.execute(
            "insert into two_tower.stg_user_categories values (%s, %s)", [user_id, f"said={value}"]
        )


@pytest.mark.parametrize("said", [[0], [2, 0, 1], [1, SILENT, SAID, "never heard of"]])
def test_who_came_a_second_ago_has_the_vector_of_what_they_say(
    connection: Connection, settings: Settings, said: list[object]
) -> None:
    say(connection, "new", *said, said[0])  # twice, as two spellings of an id give it
    known = [value for value in said if isinstance(value, int) and value < SAID]
    slots = ([12] * len(known), known, [1.0] * len(known))
    found = user(connection, "new")
    assert found is not None
    assert np.abs(found - encoded(settings, slots)).max() < HALF
    # The first like counts beside it.
    record(connection, "new", 12, "like")
    ids, indices, values = slots
    both = ([*ids, 10, 6, 9], [*indices, 12, 12, 12], [*values, 1.0, 1.0, 1.0])
    liked = user(connection, "new")
    assert liked is not None
    assert np.abs(liked - encoded(settings, both)).max() < HALF


def test_what_says_nothing_makes_no_vector(connection: Connection) -> None:
    """Categories of which nothing was learned, or that the model does not know, or none."""
    connection.execute(POPULAR)
    say(connection, "silent", SILENT, SAID, "never heard of")
    say(connection, "somebody else", 0)
    for name in ("silent", "nobody", "Somebody else"):
        assert user(connection, name) is None
        assert {row[3] for row in recommended(connection, name)} == {"popular"}


def test_before_a_build_knows_the_table_it_is_not_asked(connection: Connection) -> None:
    connection.execute("drop view two_tower.vocabularies")
    connection.execute("drop table two_tower.vocab_user_category, two_tower.stg_user_categories")
    assert user(connection, "nobody") is None


def test_an_app_that_drops_its_table_gets_lists_all_the_same(connection: Connection) -> None:
    """The view goes with the table (cascade); the vocabulary stays."""
    connection.execute(POPULAR)
    connection.execute("drop table two_tower.stg_user_categories")
    assert {row[3] for row in recommended(connection, "nobody")} == {"popular"}


def test_of_whom_a_build_knows_the_categories_are_the_builds(connection: Connection) -> None:
    connection.execute("truncate public.user_embeddings")
    before = user(connection, "u1")
    say(connection, "u1", 0)
    assert np.array_equal(user(connection, "u1"), before)


POPULAR = """
insert into two_tower.popularity
select video_id, 1 - n / 100.0, n from (
    select video_id, row_number() over (order by video_id) as n from two_tower.videos
) as numbered
"""


def recommended(connection: Connection, user_id: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select video_id, score, rank, source from public.recommend_videos(%s, p_limit => 10)",
        [user_id],
    ).fetchall()


def test_a_first_visit_has_a_list_of_its_own(connection: Connection) -> None:
    connection.execute(POPULAR)
    say(connection, "one", 0)
    say(connection, "other", 1)
    lists = {name: recommended(connection, name) for name in ("one", "other", "nobody")}
    assert {row[3] for row in lists["one"] + lists["other"]} == {"model"}
    assert {row[3] for row in lists["nobody"]} == {"popular"}
    orders = [[row[0] for row in found] for found in lists.values()]
    assert orders[0] != orders[1]
    assert orders[2] not in orders[:2]


def test_a_first_visit_is_explained_by_what_they_say(connection: Connection) -> None:
    say(connection, "new", 0, 2)
    found = {row[:2]: row[4] for row in explained(connection, "new", 5)}
    assert set(found) == {
        ("base", None),
        ("user_categories", "said=0"),
        ("user_categories", "said=2"),
    }
    assert sum(found.values()) == pytest.approx(score(connection, "new", 5), abs=HALF)


def as_weighed(kind: str, weight: float | None) -> float:
    return 0.0 if kind == "dislike" else 1.0 if weight is None or kind != "view" else weight


@pytest.mark.parametrize("number", range(12))
def test_newer_events_enter_as_the_next_build_numbers_them(
    connection: Connection, settings: Settings, number: int
) -> None:
    rng = np.random.default_rng(100 + number)
    user_id, reviews = f"u{number}", {review[0]: review for review in reviews_of(number)}
    videos = [*rng.choice(VIDEOS, 5), *list(reviews)[:3]]
    for minute, video in enumerate(map(int, videos), start=1):
        kind = str(rng.choice(["view", "like", "dislike", "purchase"]))
        weight = float(rng.choice([0.25, 0.5, 1.0])) if kind == "view" else None
        record(connection, user_id, video, kind, weight=weight, minute=minute)
        # What a user says goes before what they watched, and what has no moment is of the build's.
        if video not in reviews or (kind != "view" and reviews[video][2] is not None):
            moment = AS_OF + timedelta(minutes=minute)
            reviews[video] = (video, as_weighed(kind, weight), moment)
    ids, indices, values = stored_slots(connection, user_id)
    others = [slot for slot in zip(ids, indices, values, strict=True) if slot[0] not in MADE_OF]
    past = history_slots(list(reviews.values()), AS_OF + timedelta(days=1))
    expected = sorted([*others, *zip(*past, strict=True)])
    row = connection.execute(
        'select feature_ids, indices, "values" from two_tower.user_slots(%s)', [user_id]
    ).fetchone()
    assert row is not None
    found = sorted(zip(*row, strict=True))
    assert [slot[:2] for slot in found] == [slot[:2] for slot in expected]
    assert np.allclose([s[2] for s in found], [s[2] for s in expected], rtol=1e-6)
    moved = user(connection, user_id)
    assert moved is not None
    by_onnx = encoded(settings, tuple(map(list, zip(*expected, strict=True))))  # type: ignore[arg-type]
    assert np.abs(moved - by_onnx).max() < HALF


def test_a_view_gives_way_to_what_was_said_and_a_former_view_to_a_newer(
    connection: Connection,
) -> None:
    def place(video: int) -> int:
        row = connection.execute(
            "select s.value from two_tower.user_slots('u1') as found, lateral"
            ' unnest(found.feature_ids, found.indices, found."values")'
            " as s (feature_id, index, value)"
            " where s.feature_id = 9 and s.index = %s",
            [video],
        ).fetchone()
        return -1 if row is None else round(-DECAY * float(np.log(row[0])))

    connection.execute("delete from two_tower.interactions where user_id = 'u1'")
    for video, hours in ((20, 1), (21, 2)):
        connection.execute(
            "insert into two_tower.interactions values ('u1', %s, 1, %s)",
            (video_id(video), (AS_OF - timedelta(hours=hours)).replace(tzinfo=None)),
        )
    record(connection, "u1", 21, "view", minute=-120)  # video 21 was only watched
    record(connection, "u1", 30, "like", minute=1)
    assert [place(video) for video in (30, 20, 21)] == [0, 1, 2]
    record(connection, "u1", 20, "view", minute=2)
    assert [place(video) for video in (30, 20, 21)] == [0, 1, 2]
    record(connection, "u1", 21, "view", minute=3)
    assert [place(video) for video in (30, 20, 21)] == [1, 2, 0]


def test_events_between_the_release_and_the_latest_build_count(
    connection: Connection, settings: Settings
) -> None:
    """The features have them already, the released vector does not."""
    released = user(connection, "u2")
    record(connection, "u2", 7, "like", minute=30)
    connection.execute("update two_tower.int_moment set as_of = as_of + interval '1 hour'")
    connection.execute(
        "update two_tower.user_feature_slots as mine"
        ' set feature_ids = o.feature_ids, indices = o.indices, "values" = o."values"'
        " from two_tower.user_feature_slots as o where mine.user_id = 'u2' and o.user_id = 'u3'"
    )
    found = user(connection, "u2")
    assert found is not None
    assert np.abs(found - encoded(settings, stored_slots(connection, "u3"))).max() < HALF
    assert not np.array_equal(found, released)
    later = "update two_tower.embedded_as_of set as_of = '2100-01-01' where version = %s"
    connection.execute(later, [FIRST])  # it does not serve
    assert np.array_equal(user(connection, "u2"), found)
    connection.execute(later, [SECOND])
    assert np.array_equal(user(connection, "u2"), released)


def test_of_features_of_another_layout_the_released_vector_alone_counts(
    connection: Connection,
) -> None:
    released = user(connection, "u3")
    record(connection, "u3", 7, "like")
    record(connection, "new", 7, "like")
    connection.execute("update two_tower.feature_layout set layout_hash = 'another'")
    assert np.array_equal(user(connection, "u3"), released)
    assert user(connection, "new") is None
    assert visitor(connection, [video_id(7)]) is not None


# --- what a score is made of


def explained(connection: Connection, user_id: str, video: int) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select feature, token, video_id::text, title, share"
        " from public.explain_recommendation(%s, %s)",
        (user_id, video_id(video)),
    ).fetchall()


def score(connection: Connection, user_id: str, video: int) -> float:
    person = user(connection, user_id)
    shown = vector(
        connection,
        "(select embedding from public.video_embeddings where video_id = %s)",
        video_id(video),
    )
    assert person is not None
    assert shown is not None
    return float(person @ shown / np.linalg.norm(person) / np.linalg.norm(shown))


@pytest.mark.parametrize("video", [0, 33, VIDEOS - 1])
def test_the_shares_add_up_to_the_score(connection: Connection, video: int) -> None:
    record(connection, "u1", 7, "like")
    for number in range(10):
        rows = explained(connection, f"u{number}", video)
        assert abs(sum(row[4] for row in rows) - score(connection, f"u{number}", video)) < HALF
        assert [row[4] for row in rows] == sorted((row[4] for row in rows), reverse=True)
        assert "since the release" not in {row[0] for row in rows}


def test_each_slot_is_named(connection: Connection) -> None:
    rows = explained(connection, "u4", 33)
    ids, indices, _ = stored_slots(connection, "u4")
    expected: list[tuple[Any, ...]] = [
        (name, None, None, None) for name in ("base", "like_count_30d")
    ]
    features = {row[0]: row[2] for row in LAYOUT_ROWS}
    for feature_id, index in zip(ids, indices, strict=True):
        if feature_id == 1:
            expected.append((features[1], f"Tag {index}", None, None))
        elif feature_id in MADE_OF and index < KNOWN:
            key = video_id(index)
            expected.append((features[feature_id], key, key, f"Title {index}"))
    assert {row[:4] for row in rows} == set(expected)


def test_what_the_features_of_today_do_not_explain_is_said(connection: Connection) -> None:
    before = score(connection, "u5", 33)
    connection.execute(
        "update two_tower.user_feature_slots set feature_ids = '{6}', indices = '{60}',"
        " \"values\" = '{1}' where user_id = 'u5'"
    )
    rows = explained(connection, "u5", 33)
    assert {row[0] for row in rows} == {"base", "reviewed_video_ids", "since the release"}
    assert abs(sum(row[4] for row in rows) - before) < HALF
    connection.execute("update two_tower.feature_layout set layout_hash = 'another'")
    (row,) = explained(connection, "u5", 33)
    assert row[:4] == ("released vector", None, None, None)
    assert abs(row[4] - before) < HALF


def test_the_title_of_a_hidden_video_is_not_told(connection: Connection) -> None:
    before = explained(connection, "u4", 33)
    hidden = next(row[2] for row in before if row[2])
    connection.execute("insert into two_tower.hidden_videos values (%s)", [hidden])
    after = [(*row[:3], None, row[4]) if row[2] == hidden else row for row in before]
    assert explained(connection, "u4", 33) == after


def test_nobody_is_not_explained(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="from nobody"):
        connection.execute("select * from public.explain_recommendation(null, %s)", [video_id(33)])


def test_what_has_no_vector_is_not_explained(connection: Connection) -> None:
    assert explained(connection, "nobody", 33) == []
    assert explained(connection, "u5", VIDEOS + 1) == []


# --- whoever gets the release before


@pytest.fixture
def former(connection: Connection) -> Connection:
    """An experiment that gives everybody the first version."""
    connection.execute(
        "insert into two_tower.experiments (name, version, share) values ('former', %s, 0.999999)",
        [FIRST],
    )
    return connection


def listed(connection: Connection, user_id: str) -> dict[str, tuple[float, str, int]]:
    rows = connection.execute(
        "select video_id::text, score, source, release_id"
        " from public.recommend_videos(%s, %s, false)",
        [user_id, VIDEOS],
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


def test_of_the_release_before_a_new_user_is_personal_too(
    former: Connection, settings: Settings
) -> None:
    record(former, "new", 12, "like")
    found = vector(former, "two_tower.user_previous_vector(%s)", "new")
    assert found is not None
    expected = encoded(settings, ([10, 6, 9], [12] * 3, [1.0] * 3), FIRST)
    assert np.abs(found - expected).max() < HALF
    assert {row[1:] for row in listed(former, "new").values()} == {("model", 1)}


def test_of_the_release_before_a_list_moves_with_an_event(
    former: Connection, settings: Settings
) -> None:
    released = vector(former, "two_tower.user_previous_vector(%s)", "u2")
    before = listed(former, "u2")
    record(former, "u2", 7, "like")
    moved = vector(former, "two_tower.user_previous_vector(%s)", "u2")
    assert released is not None
    assert moved is not None
    assert not np.array_equal(moved, released)
    row = former.execute(
        'select feature_ids, indices, "values" from two_tower.user_slots(%s)', ["u2"]
    ).fetchone()
    assert row is not None
    assert np.abs(moved - encoded(settings, row, FIRST)).max() < HALF
    after = listed(former, "u2")
    assert set(after) == set(before)
    assert after != before
    # Slots of a version that reads other features are of no use.
    former.execute(
        "update two_tower.slot_blocks set layout_hash = 'another' where version = %s", [FIRST]
    )
    assert listed(former, "u2") == before


@pytest.mark.parametrize("share", [1e-6, 0.5, 1 - 1e-6])
def test_in_an_experiment_the_shares_add_up_to_the_score_of_the_list(
    connection: Connection, share: float
) -> None:
    connection.execute(
        "insert into two_tower.experiments (name, version, share) values ('half', %s, %s)",
        [FIRST, share],
    )
    record(connection, "new", 12, "like")
    record(connection, "u1", 7, "like")
    releases = set()
    for user_id in ("new", *(f"u{number}" for number in range(8))):
        for video, (found, _, release_id) in listed(connection, user_id).items():
            rows = connection.execute(
                "select sum(share) from public.explain_recommendation(%s, %s)", [user_id, video]
            ).fetchone()
            assert rows is not None
            assert abs(rows[0] - found) < HALF
            releases.add(release_id)
    assert releases == ({1, 2} if share == 0.5 else {1} if share > 0.5 else {2})


# --- what is written


def slot_rows(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        "select version, count(*) from two_tower.slot_vectors group by version"
    )
    return dict(rows.fetchall())


def test_the_slots_of_a_version_are_its_weights(connection: Connection, settings: Settings) -> None:
    towers = Towers(layout(), seed=2)
    first = layout().user[2]
    weight = towers.towers["user"].weight.detach().numpy()
    found = vector(
        connection,
        "(select embedding from two_tower.slot_vectors"
        " where version = %s and feature_id = 10 and index = 4)",
        SECOND,
    )
    assert found is not None
    assert np.allclose(found, weight[first.offset + 4], rtol=1e-5)
    width = layout().feature_dim("user") + 1
    # But for the one of which nothing was learned.
    assert slot_rows(connection) == {FIRST: width - 1, SECOND: width - 1}
    blocks = connection.execute(
        "select feature_id, feature, kind, vocabulary, width, shrinkage, layout_hash"
        " from two_tower.slot_blocks where version = %s order by 1",
        [SECOND],
    ).fetchall()
    assert blocks == [
        (-1, "base", "bias", None, 1, None, "hash"),
        (1, "preferred_tag_ids", "multi_hot", "tag", 5, 0, "hash"),
        (2, "like_count_30d", "numeric", None, 1, None, "hash"),
        (6, "reviewed_video_ids", "history", "video", KNOWN, 4, "hash"),
        (9, "recent_video_ids", "recency", "video", KNOWN, 0, "hash"),
        (10, "relevant_video_ids", "history", "video", KNOWN, 4, "hash"),
        (12, "user_categories", "profile", "user_category", SAID, None, "hash"),
    ]


def test_slots_are_written_once_and_go_with_their_version(own: tuple[Settings, str]) -> None:
    settings, dsn = own
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("update two_tower.slot_blocks set feature = 'kept' where feature_id = 1")
        embed(settings, SECOND)
        kept = connection.execute(
            "select count(*) from two_tower.slot_blocks where feature = 'kept'"
        )
        assert kept.fetchone() == (2,)
        connection.execute("delete from two_tower.model_releases where version = %s", [FIRST])
        embed(settings, THIRD)
        assert set(slot_rows(connection)) == {SECOND, THIRD}
        moments = connection.execute("select version from two_tower.embedded_as_of order by 1")
        assert moments.fetchall() == [(SECOND,), (THIRD,)]


def test_a_refresh_moves_the_moment_and_embedding_alone_does_not(own: tuple[Settings, str]) -> None:
    settings, dsn = own
    moment = "select as_of from two_tower.embedded_as_of where version = %s"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("update two_tower.int_moment set as_of = as_of + interval '1 day'")
        embed(settings, SECOND)
        assert connection.execute(moment, [SECOND]).fetchone() == (AS_OF.replace(tzinfo=None),)
        refresh(settings)
        later = AS_OF.replace(tzinfo=None) + timedelta(days=1)
        assert connection.execute(moment, [SECOND]).fetchone() == (later,)


def test_without_slots_a_user_keeps_the_released_vector(own: tuple[Settings, str]) -> None:
    """Visitors are then asked what is popular."""
    settings, dsn = own
    embed(settings, THIRD)
    with open_warehouse(settings) as warehouse:
        warehouse.execute(f"delete from two_tower.slot_vectors where version = '{THIRD}'")
        warehouse.execute(f"delete from two_tower.slot_blocks where version = '{THIRD}'")
        serve(warehouse, THIRD)
    with psycopg.connect(dsn) as connection:
        assert visitor(connection, [video_id(3)]) is None
        released = user(connection, "u1")
        assert released is not None
        record(connection, "u1", 7, "like", minute=9000)
        record(connection, "new", 7, "like", minute=9000)
        assert np.array_equal(user(connection, "u1"), released)
        assert user(connection, "new") is None
        (row,) = explained(connection, "u1", 33)
        assert abs(row[4] - score(connection, "u1", 33)) < HALF
