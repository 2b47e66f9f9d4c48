"""Releases on a real Postgres through a real dbt, under readers that never stop."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from serving_world import World, make_world, telling_vectors, told_by

from faults.invariants import latest_matches
from postgres_server import PostgresServer
from two_tower.artifacts.registry import Registry
from two_tower.core.errors import GateError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database.dsn import target_dsn
from two_tower.database.warehouse import PostgresWarehouse
from two_tower.operations import setup
from two_tower.serving.release import ReleaseResult, release
from two_tower.serving.rollback import rollback

# The releases are made once and not by each worker.
pytestmark = pytest.mark.xdist_group("release")

RELEASES = 5
USERS, VIDEOS = 1000, 1200  # both are enough for a vector index
VERSIONS = [f"20260101_00000{number}" for number in range(1, RELEASES + 1)]


@dataclass
class Reader:
    """Calls recommend_videos() in a loop and keeps what no reader should ever see.

    vectors_of: release_id of a rollback -> number of the vectors that it put back.
    """

    dsn: str
    vectors_of: dict[int, int] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    reads: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def run(self) -> None:
        try:
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                while not self.stopped.is_set():
                    self.read(connection)
                    time.sleep(0.002)  # dbt shares these cores
        except Exception as error:
            self.wrong.append(repr(error))

    def read(self, connection: psycopg.Connection) -> None:
        started = time.perf_counter()
        rows = connection.execute("select release_id, score from public.recommend_videos('user_7')")
        answer = rows.fetchall()
        self.slowest = max(self.slowest, time.perf_counter() - started)
        self.reads += 1
        numbers = told_by(score for _, score in answer)
        # As many a call says as its vectors are of, the one that has waited for a release too.
        said = {self.vectors_of.get(release_id, release_id - 1) for release_id, _ in answer}
        if len(answer) != 20 or len(numbers) != 1 or numbers != said:
            self.wrong.append(f"{len(answer)} rows of releases {numbers}, said {said}")
        elif not self.seen or self.seen[-1] not in numbers:
            self.seen.append(int(numbers.pop() or 0))


@dataclass
class Story:
    world: World
    results: list[ReleaseResult]
    readers: list[Reader]
    connection: psycopg.Connection


@pytest.fixture(scope="module", autouse=True)
def _one_dbt_target_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep dbt's parsed project apart: another engine's would be parsed anew each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_TARGET_PATH", str(tmp_path_factory.mktemp("target")))
        yield


@pytest.fixture(scope="module")
def story(
    postgres_settings: Settings, postgres_dsn: str, postgres_server: PostgresServer
) -> Iterator[Story]:
    """Five releases; readers from the first on, grants and row-level security from the second."""
    setup.prepare(postgres_settings)
    empty(postgres_dsn)
    postgres_server.as_superuser("create role app_reader")
    world = make_world(postgres_settings, users=USERS, videos=VIDEOS)
    readers = [Reader(postgres_dsn) for _ in range(2)]
    threads = [threading.Thread(target=reader.run) for reader in readers]
    results = []
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for number, version in enumerate(VERSIONS):
            world.land(
                version,
                telling_vectors(number, world.users, "user"),
                telling_vectors(number, world.videos, "item"),
            )
            results.append(release(world.settings))
            if number == 0:
                for thread in threads:
                    thread.start()
                protect(connection)
                connection.execute(FORMER_FUNCTION)
        for reader in readers:
            reader.stopped.set()
        for thread in threads:
            thread.join()
        yield Story(world, results, readers, connection)


def empty(dsn: str) -> None:
    database = PostgresWarehouse(dsn)
    database.execute("drop schema if exists raw, two_tower, public cascade")
    database.execute("create schema public")
    database.close()


PROTECTION = """
grant usage on schema public, two_tower to app_reader;
grant select on public.user_embeddings, two_tower.popularity, two_tower.interactions to app_reader;
grant select (video_id, embedding) on public.video_embeddings to app_reader;
grant execute on function public.recommend_videos to app_reader;
alter table public.user_embeddings enable row level security;
alter table public.user_embeddings force row level security;
create policy own_row on public.user_embeddings as restrictive for select to app_reader
    using (user_id = current_setting('app.user', true));
create policy anybody on public.user_embeddings for select using (true);
create policy the_owner on public.user_embeddings to app using (true) with check (true);
"""


# As an earlier version may have had it: a call without arguments would be of both.
FORMER_FUNCTION = """
create function public.new_videos(p_days integer default 30) returns integer
language sql as 'select p_days'
"""


def protect(connection: psycopg.Connection) -> None:
    # Between the flag and its policies a plain owner would see no rows.
    with connection.transaction():
        for statement in PROTECTION.split(";\n")[:-1]:
            connection.execute(statement)


def protection(connection: psycopg.Connection, suffix: str = "") -> list[tuple[object, ...]]:
    return connection.execute(
        "select c.relname, c.relacl::text, c.relrowsecurity, c.relforcerowsecurity,"
        " (select array_agg(a.attacl::text order by a.attnum) from pg_attribute as a"
        "  where a.attrelid = c.oid and a.attacl is not null),"
        " (select array_agg(format('%%s %%s %%s %%s %%s', p.polname, p.polpermissive, p.polcmd,"
        "   p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid)) order by p.polname)"
        "  from pg_policy as p where p.polrelid = c.oid)"
        " from pg_class as c where c.relnamespace = 'public'::regnamespace"
        " and c.relname = any (%s) order by c.relname",
        ([f"user_embeddings{suffix}", f"video_embeddings{suffix}"],),
    ).fetchall()


def served(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "select 'public.user_embeddings'::regclass::oid, 'public.video_embeddings'::regclass::oid,"
        " (select max(release_id) from two_tower.model_releases),"
        " (select count(*) from public.video_embeddings)"
    ).fetchall()


def test_readers_see_no_error_no_empty_answer_and_no_mixture(story: Story) -> None:
    for reader in story.readers:
        assert reader.wrong == []
        assert reader.seen == [0, 1, 2, 3, 4]
        assert reader.reads > 100
        print(f"{reader.reads} reads, the slowest {1000 * reader.slowest:.1f} ms")


def test_each_release_is_a_row_of_the_history(story: Story) -> None:
    assert [result.version for result in story.results] == VERSIONS
    assert [result.release_id for result in story.results] == [1, 2, 3, 4, 5]
    assert all(result.swapped for result in story.results)
    assert all(result.index_recall >= 0.99 for result in story.results)
    assert story.results[0].users == USERS
    assert story.results[0].videos == VIDEOS


def test_what_serves_already_is_not_released_again(story: Story) -> None:
    before = served(story.connection)
    result = release(story.world.settings)
    assert not result.swapped
    assert result.version == VERSIONS[-1]
    assert served(story.connection) == before


def test_tables_and_indexes_have_the_names_and_types_of_the_contract(story: Story) -> None:
    columns = story.connection.execute(
        "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attstorage"
        " from pg_attribute as a join pg_class as c on c.oid = a.attrelid"
        " where c.relnamespace = 'public'::regnamespace and a.attnum > 0"
        " and c.relname in ('user_embeddings', 'video_embeddings') order by 1, a.attnum"
    ).fetchall()
    assert [column[:3] for column in columns] == [
        ("user_embeddings", "user_id", "text"),
        ("user_embeddings", "embedding", "extensions.halfvec(128)"),
        ("video_embeddings", "video_id", "uuid"),
        ("video_embeddings", "embedding", "extensions.halfvec(128)"),
    ]
    assert {column[3] for column in columns if column[1] == "embedding"} == {"p"}
    indexes = story.connection.execute(
        "select indexname, indexdef from pg_indexes where schemaname = 'public' order by 1"
    ).fetchall()
    definitions = dict(indexes)
    assert set(definitions) == {
        "idx_user_embeddings_cosine",
        "idx_user_embeddings_cosine_previous",
        "idx_video_embeddings_cosine",
        "idx_video_embeddings_cosine_previous",
        "user_embeddings_pkey",
        "user_embeddings_previous_pkey",
        "video_embeddings_pkey",
        "video_embeddings_previous_pkey",
    }
    for table in ("user", "video"):
        definition = definitions[f"idx_{table}_embeddings_cosine"]
        assert "USING ivfflat (embedding extensions.halfvec_cosine_ops)" in definition
        rows = story.connection.execute(
            f"select count(*) from public.{table}_embeddings"
        ).fetchone()
        assert rows is not None
        assert f"lists='{math.isqrt(4 * rows[0])}'" in definition


def test_grants_and_row_level_security_survive_every_swap(story: Story) -> None:
    users, videos = protection(story.connection)
    assert "app_reader=r/" in str(users[1])
    assert users[2:4] == (True, True)
    assert len(users[5]) == 3  # type: ignore[arg-type]
    assert "f r {app_reader} (user_id = current_setting('app.user'::text, true))" in str(users[5])
    assert len(videos[4]) == 2  # type: ignore[arg-type]
    former_users, former_videos = protection(story.connection, "_previous")
    assert former_users[1:] == users[1:]
    assert former_videos[1:] == videos[1:]
    acl = story.connection.execute(
        "select proacl::text from pg_proc where proname = 'recommend_videos'"
    ).fetchone()
    assert acl is not None
    assert "app_reader=X" in acl[0]
    assert "{=X" not in acl[0]  # nobody may call it but who was granted


def test_a_function_with_former_parameters_is_gone(story: Story) -> None:
    query = "select count(*) from pg_proc where proname = 'new_videos'"
    assert story.connection.execute(query).fetchone() == (1,)


def test_a_row_that_is_no_unit_vector_cannot_enter_the_served_table(story: Story) -> None:
    zero = "[" + ",".join(["0"] * 128) + "]"
    with pytest.raises(psycopg.errors.CheckViolation):
        story.connection.execute("insert into public.user_embeddings values ('new', %s)", (zero,))


@pytest.mark.parametrize(
    ("create", "drop", "name"),
    [
        (
            "create view public.nearest as select video_id from public.video_embeddings",
            "drop view public.nearest",
            "view public.nearest",
        ),
        (
            "create function public.n() returns bigint language sql"
            " begin atomic select count(*) from public.user_embeddings; end",
            "drop function public.n()",
            "function public.n()",
        ),
        (
            "create materialized view public.copied as select user_id from public.user_embeddings",
            "drop materialized view public.copied",
            "materialized view public.copied",
        ),
    ],
)
def test_what_would_go_on_reading_the_old_tables_is_named(
    story: Story, create: str, drop: str, name: str
) -> None:
    before = served(story.connection)
    story.connection.execute(create)
    try:
        with pytest.raises(psycopg.errors.DependentObjectsStillExist, match=r"old vectors"):
            story.connection.execute("select two_tower.publish_release()")
        with pytest.raises(GateError, match=name.replace("(", r"\(").replace(")", r"\)")):
            rollback(story.world.settings)
    finally:
        story.connection.execute(drop)
    assert served(story.connection) == before


def test_a_swap_gives_way_to_a_long_reader_and_says_so(story: Story) -> None:
    with psycopg.connect(target_dsn(story.world.settings)) as long_reader:
        long_reader.execute("select count(*) from public.video_embeddings")
        function = story.connection.execute(
            "select pg_get_functiondef('two_tower.lock_served_tables'::regproc)"
        ).fetchone()
        assert function is not None
        story.connection.execute(function[0].replace("1..20", "1..2"))
        started = time.perf_counter()
        with pytest.raises(psycopg.errors.LockNotAvailable, match="nothing was swapped"):
            story.connection.execute("select two_tower.lock_served_tables()")
        assert time.perf_counter() - started < 4


def test_refused_vectors_leave_the_served_ones(story: Story) -> None:
    """A zero vector, a missing video and two versions: each is a check of its own."""
    world, before = story.world, served(story.connection)
    users = telling_vectors(1, world.users, "user")
    users[17] = 0
    world.land("20260102_000001", users, telling_vectors(1, world.videos - 1, "item"))
    story.connection.execute(
        "update two_tower.user_embeddings_landing set version = '20260102_000000'"
    )
    with pytest.raises(GateError, match="failed 3 of the promotion checks") as refused:
        release(world.settings)
    assert served(story.connection) == before
    assert "unit_length:users is 1, at most 0 is required" in str(refused.value)
    failed = story.connection.execute(
        "select check_name, value from two_tower.promotion_checks where not passed"
        " and attempt = (select max(attempt) from two_tower.promotion_checks) order by 1"
    ).fetchall()
    assert failed == [
        ("missing_or_extra:videos", 1),
        ("unit_length:users", 1),
        ("versions_landed", 2),
    ]
    assert latest_matches(Registry(world.settings)) == VERSIONS[-1]


def test_rollback_exchanges_the_pairs_once_and_keeps_the_protection(story: Story) -> None:
    """Last in this file: it ends the story."""
    connection = story.connection
    former = connection.execute("select 'public.video_embeddings_previous'::regclass::oid")
    former_oid = former.fetchone()
    protected = protection(connection)
    connection.execute(
        "update two_tower.model_releases set probes = release_id where version = any (%s)",
        (VERSIONS[3:],),
    )
    result = rollback(story.world.settings)
    assert (result.version_from, result.version_to) == (VERSIONS[4], VERSIONS[3])
    assert connection.execute("select 'public.video_embeddings'::regclass::oid").fetchone() == (
        former_oid
    )
    assert protection(connection) == protected
    # Each search probes as many lists as its own tables need.
    probes = connection.execute(
        "select proname, setting from pg_proc cross join unnest(proconfig) as setting"
        " where setting like 'ivfflat.probes=%' order by 1"
    ).fetchall()
    assert probes == [
        ("find_previous_videos", "ivfflat.probes=5"),
        ("find_videos", "ivfflat.probes=4"),
        ("similar_users", "ivfflat.probes=4"),
    ]
    rows = connection.execute(
        "select version, is_rollback from two_tower.model_releases order by release_id desc limit 2"
    ).fetchall()
    assert rows == [(VERSIONS[3], True), (VERSIONS[4], False)]
    reader = Reader("", vectors_of={RELEASES + 1: 3})
    reader.read(connection)
    assert (reader.wrong, reader.seen) == ([], [3])
    with pytest.raises(NotEnoughDataError, match="already put back"):
        rollback(story.world.settings)
