"""The Recommender of an app: its calls, what it refuses, and what it does when things break."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import PROJECT_DIR
from postgres_server import PASSWORD, PostgresServer
from serving.app_world import make_app, video
from two_tower.core.errors import InputError, NotEnoughDataError, UnavailableError
from two_tower.recommend import AsyncRecommender, Recommender

LIKED = [str(video(number)) for number in (3, 40, 77)]
# A call in Python, and in SQL: the same rows. `r` is the Recommender.
CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "recommend": (
        lambda r: r.recommend(
            "user_3", 5, False, filter={"maker": "maker 1"}, exclude=[video(11)], offset=2
        ),
        "recommend_videos('user_3', 5, false, '{\"maker\": \"maker 1\"}',"
        f" array['{video(11)}']::uuid[], p_offset => 2)",
    ),
    "diverse": (
        lambda r: r.recommend("user_3", 5, diversity=0.5, rotation=0.2),
        "recommend_videos('user_3', 5, p_diversity => 0.5, p_rotation => 0.2)",
    ),
    "a stranger": (lambda r: r.recommend("nobody", 4), "popular_videos('all', 4)"),
    "recommend_for_likes": (
        lambda r: r.recommend_for_likes(LIKED, 5, filter={"price_max": 900}, diversity=0.1),
        f"recommend_for_likes('{{{','.join(LIKED)}}}', 5, p_filter => '{{\"price_max\": 900}}',"
        " p_diversity => 0.1)",
    ),
    "similar": (
        lambda r: r.similar(video(9), 5, exclude=LIKED, offset=1, user_id="user_1"),
        f"similar_videos('{video(9)}', 5, p_exclude => '{{{','.join(LIKED)}}}', p_offset => 1,"
        " p_user_id => 'user_1')",
    ),
    "rank": (
        lambda r: r.rank("user_2", LIKED),
        f"rank_videos('user_2', '{{{','.join(LIKED)}}}')",
    ),
    "popular": (
        lambda r: r.popular("week", 3, offset=1),
        "popular_videos('week', 3, '{}', '{}', 1)",
    ),
    "new": (
        lambda r: r.new(3, filter={"tags_any": ["rare"]}),
        'new_videos(3, \'{"tags_any": ["rare"]}\')',
    ),
    "trending": (lambda r: r.trending(3), "trending_videos(3)"),
}


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    """A database with what user_1 has liked, and a role that may call two functions."""
    dsn = make_app(postgres_server, "recommender", slots=True)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "insert into two_tower.interactions (user_id, item_id, label, weight, timestamp)"
            " select 'user_1', id, 1, 1, '2025-12-01' from unnest(%s::uuid[]) as id",
            (LIKED,),
        )
        connection.execute(
            "revoke execute on all functions in schema public, two_tower from public"
        )
    postgres_server.as_superuser(f"create role page login password '{PASSWORD}'")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "grant execute on function public.popular_videos, public.similar_videos to page"
        )
    return dsn


@pytest.fixture
def page_dsn(dsn: str, postgres_server: PostgresServer) -> str:
    return postgres_server.dsn("recommender", "page")


@pytest.fixture(scope="module")
def recommender(dsn: str) -> Iterator[Recommender]:
    with Recommender(database_url=dsn) as recommender:
        yield recommender


@pytest.fixture
def owner(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@contextmanager
def event_loop() -> Iterator[Callable[[Any], Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


def in_sql(connection: psycopg.Connection, call: str) -> list[tuple[Any, ...]]:
    columns = "video_id::text, score, rank, source, release_id, title, thumbnail_url, product_url"
    query = f"select {columns} from public.{call} order by rank"
    return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


# --- the calls


@pytest.mark.parametrize("name", CALLS)
def test_a_call_gives_the_rows_of_its_function(
    recommender: Recommender, owner: psycopg.Connection, name: str
) -> None:
    call, sql = CALLS[name]
    found, expected = call(recommender), in_sql(owner, sql)
    assert found
    # A sum of vectors is in any order.
    assert [row.score for row in found] == pytest.approx([row[1] for row in expected], abs=1e-6)
    others = [(row[0], *row[2:]) for row in expected]
    assert [(row.video_id, *list(vars(row).values())[2:]) for row in found] == others
    assert found[0].release_id == 7


@pytest.mark.parametrize(
    ("name", "source"),
    [("recommend", "model"), ("recommend_for_likes", "likes"), ("new", "popular")],
)
def test_each_row_says_what_it_is_from(recommender: Recommender, name: str, source: str) -> None:
    assert {row.source for row in CALLS[name][0](recommender)} == {source}


def test_a_like_is_a_row_of_videos_like_it(recommender: Recommender) -> None:
    rows = recommender.because_you_watched("user_1", rows=2, per_row=4)
    assert [len(row.videos) for row in rows] == [4, 4]
    for row in rows:
        assert row.video_id in LIKED
        assert row.title == f"Title {uuid.UUID(row.video_id).int}"
        assert not {video.video_id for video in row.videos} & set(LIKED)
    assert recommender.because_you_watched("nobody") == []


def test_people_and_shares_and_batches_are_what_they_say(
    recommender: Recommender, owner: psycopg.Connection
) -> None:
    people = recommender.similar_users("user_1", 3)
    assert [person.rank for person in people] == [1, 2, 3]
    assert "user_1" not in {person.user_id for person in people}

    best = recommender.recommend("user_3", 1)[0]
    shares = recommender.explain("user_3", best.video_id)
    assert sum(share.share for share in shares) == pytest.approx(best.score, abs=2e-3)

    lists = recommender.recommend_batch(["user_3", "nobody", "user_3"], 2)
    assert list(lists) == ["user_3", "nobody"]
    assert lists["user_3"] == recommender.recommend("user_3", 2)
    assert [video.source for video in lists["nobody"]] == ["popular", "popular"]
    assert recommender.recommend_batch([]) == {}


def test_a_like_changes_the_next_list(recommender: Recommender) -> None:
    user_id = f"new {uuid.uuid4()}"
    before = recommender.recommend(user_id, 5)
    event = recommender.record_event(LIKED[0], "like", user_id=user_id, weight=1)
    after = recommender.recommend(user_id, 5)
    assert event > 0
    assert {row.source for row in before} == {"popular"}
    assert {row.source for row in after} == {"model"}
    assert LIKED[0] not in {row.video_id for row in after}
    likes = recommender.recommend_for_likes([LIKED[0]], 5)
    assert [row.video_id for row in after] == [row.video_id for row in likes]
    shares = recommender.explain(user_id, after[0].video_id)
    assert {share.video_id for share in shares} == {None, LIKED[0]}


def test_a_first_visit_has_the_list_of_what_they_say(
    recommender: Recommender, owner: psycopg.Connection
) -> None:
    names = {said: f"new {uuid.uuid4()}" for said in (40, 77)}
    assert {row.source for row in recommender.recommend(names[40], 5)} == {"popular"}
    for said, name in names.items():
        owner.execute(
            "insert into two_tower.stg_user_categories values (%s, %s)", [name, f"likes={said}"]
        )
    lists = {said: recommender.recommend(name, 5) for said, name in names.items()}
    for said, found in lists.items():
        assert {row.source for row in found} == {"model"}
        assert found[0].video_id == str(video(said))
    assert [row.video_id for row in lists[40]] != [row.video_id for row in lists[77]]
    shares = recommender.explain(names[40], str(video(40)))
    assert {(share.feature, share.token) for share in shares} == {
        ("base", None),
        ("user_categories", "likes=40"),
    }
    batch = recommender.recommend_batch(list(names.values()), 5)
    assert [row.video_id for row in batch[names[77]]] == [row.video_id for row in lists[77]]


def test_what_was_shown_is_stored_in_order(
    recommender: Recommender, owner: psycopg.Connection
) -> None:
    shown = recommender.recommend("user_5", 3)
    ids = [row.video_id for row in shown]
    assert recommender.record_impressions(ids, user_id="user_5", release_id=7, source="model") == 3
    rows = owner.execute(
        "select video_id::text, release_id, source from two_tower.events"
        " where user_id = 'user_5' order by rank"
    ).fetchall()
    assert rows == [(video_id, 7, "model") for video_id in ids]


def test_the_calls_are_awaited_in_a_loop(dsn: str, recommender: Recommender) -> None:
    async def all_at_once() -> list[Any]:
        async with AsyncRecommender(database_url=dsn, max_connections=3) as opened:
            return await asyncio.gather(*(call(opened) for call, _ in CALLS.values()))

    with event_loop() as run:
        answers = run(all_at_once())
    assert answers == [call(recommender) for call, _ in CALLS.values()]


def test_both_have_the_same_calls_and_each_is_documented() -> None:
    names = {name for name in vars(Recommender) if not name.startswith("_")} - {"close"}
    assert names == {name for name in vars(AsyncRecommender) if name[0] != "_"} - {"close"}
    assert len(names) == 13
    for kind in (Recommender, AsyncRecommender):
        for name in names:
            assert getattr(kind, name).__doc__, name


# --- arguments


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda r: r.recommend(7), "user_id is 7, of type int"),
        (lambda r: r.recommend(None), "user_id is None"),
        (lambda r: r.recommend("a\0b"), "user_id is 'a"),
        (lambda r: r.recommend("\udcff"), "user_id is"),
        (lambda r: r.recommend("u", 1001), "limit is 1001"),
        (lambda r: r.recommend("u", -1), "limit is -1"),
        (lambda r: r.recommend("u", 2.5), "limit is 2.5"),
        (lambda r: r.recommend("u", True), "limit is True"),
        (lambda r: r.recommend("u", offset=10_001), "offset is 10001"),
        (lambda r: r.recommend("u", exclude_seen=1), "exclude_seen is 1"),
        (lambda r: r.recommend("u", diversity=1.1), "diversity is 1.1"),
        (lambda r: r.recommend("u", rotation=float("nan")), "rotation is nan"),
        (lambda r: r.recommend("u", exclude=[7]), "exclude: 7, of type int, is no video id"),
        (lambda r: r.recommend("u", exclude=LIKED[0]), "exclude is"),
        (lambda r: r.recommend("u", exclude=[LIKED[0]] * 10_001), "exclude has 10,001 ids"),
        (lambda r: r.recommend("u", filter=["a"]), "filter is \\['a'\\]"),
        (lambda r: r.recommend("u", filter={"price_max": float("inf")}), "filter: "),
        (lambda r: r.recommend("u", filter={"studio": "x"}), "p_filter has no key studio"),
        (lambda r: r.similar("seven"), "video_id: 'seven' is no video id"),
        (lambda r: r.similar(7), "video_id: 7, of type int, is no video id"),
        (lambda r: r.recommend_for_likes(7), "video_ids is 7"),
        (lambda r: r.rank("u", [LIKED[0]] * 1001), "video_ids has 1,001 ids"),
        (lambda r: r.recommend_batch(["u"], 101), "limit is 101"),
        (lambda r: r.because_you_watched("u", 21), "rows is 21"),
        (lambda r: r.popular("century"), "p_window is 'century'"),
        (lambda r: r.record_event(LIKED[0], "like", user_id=7), "user_id is 7"),
        (lambda r: r.record_event(LIKED[0], "love", user_id="u"), "p_kind is 'love'"),
        (lambda r: r.record_event(LIKED[0], "view", user_id="u", weight=2), "weight is 2"),
        (lambda r: r.record_event(uuid.UUID(int=0), "like", user_id="u"), "no video of the cat"),
    ],
)
def test_a_wrong_argument_is_named(
    recommender: Recommender, call: Callable[[Recommender], Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        call(recommender)
    assert refused.value.hint


def test_without_a_database_there_is_a_hint() -> None:
    for kind in (Recommender, AsyncRecommender):
        with pytest.raises(InputError) as refused:
            kind()
        assert "database_url=" in refused.value.hint


def test_a_database_that_is_not_there_is_told_when_the_recommender_is_made(dsn: str) -> None:
    secret = "s3cret"
    wrong = dsn.replace("app:", f"nobody:{secret}", 1)
    away = f"postgresql://app:{secret}@127.0.0.1:9/app"

    async def enter(url: str) -> None:
        async with AsyncRecommender(database_url=url):
            pass

    with event_loop() as run:
        for opened in (lambda url: Recommender(database_url=url), lambda url: run(enter(url))):
            with pytest.raises(InputError, match="refuses the connection") as refused:
                opened(wrong)
            assert secret not in str(refused.value)
            with pytest.raises(UnavailableError, match=r"127\.0\.0\.1/app"):
                opened(away)
    with pytest.raises(InputError, match="is not a Postgres URL"):
        Recommender(database_url="mysql:app")


def test_a_recommender_that_is_not_open_says_so(dsn: str) -> None:
    with Recommender(database_url=dsn) as closed:
        pass
    with pytest.raises(InputError, match="this Recommender is not open") as refused:
        closed.trending()
    shown = "".join(traceback.format_exception(refused.value))
    assert "call it inside its with block" in shown

    async def without_a_block() -> None:
        await AsyncRecommender(database_url=dsn).trending()

    with event_loop() as run, pytest.raises(InputError, match="this Recommender is not open"):
        run(without_a_block())


# --- what breaks


def terminate(owner: psycopg.Connection, condition: str = "true") -> int:
    """End the other sessions of the database; return how many there were."""
    ended = owner.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
        f" and backend_type = 'client backend' and {condition}"
    ).fetchall()
    assert all(row[0] for row in ended)
    return len(ended)


def test_calls_go_on_after_their_connections_were_killed(
    dsn: str, owner: psycopg.Connection
) -> None:
    with Recommender(database_url=dsn, max_connections=4) as recommender:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: recommender.trending(3), range(16)))
        assert terminate(owner) >= 1
        assert len(recommender.trending(3)) == 3
        assert terminate(owner) >= 1
        assert recommender.record_event(LIKED[0], "click", user_id="user_9") > 0


def test_awaited_calls_go_on_after_their_connections_were_killed(
    dsn: str, owner: psycopg.Connection
) -> None:
    async def ask() -> int:
        async with AsyncRecommender(database_url=dsn) as recommender:
            await recommender.trending(3)
            assert terminate(owner) >= 1
            return len(await recommender.trending(3))

    with event_loop() as run:
        assert run(ask()) == 3


@contextmanager
def killed_while_waiting(dsn: str, owner: psycopg.Connection, table: str) -> Iterator[None]:
    """Kill what waits for a table, as soon as something does; then the table is free again."""
    with psycopg.connect(dsn) as holder:
        holder.execute(f"lock table {table} in access exclusive mode")  # type: ignore[call-overload]
        mine = f"pid <> {holder.info.backend_pid} and wait_event_type = 'Lock'"

        def kill() -> None:
            deadline = time.monotonic() + 60
            while not terminate(owner, mine):
                assert time.monotonic() < deadline, "nothing waited for the lock"
                time.sleep(0.05)
            holder.rollback()

        with ThreadPoolExecutor(1) as threads:
            killed = threads.submit(kill)
            yield
            killed.result(60)


def test_a_read_that_is_cut_short_is_made_again(dsn: str, owner: psycopg.Connection) -> None:
    with Recommender(database_url=dsn) as recommender:
        before = recommender.recommend("nobody", 3)
        with killed_while_waiting(dsn, owner, "two_tower.popularity"):
            assert recommender.recommend("nobody", 3) == before


def test_a_write_that_is_cut_short_is_not_made_again(dsn: str, owner: psycopg.Connection) -> None:
    count = "select count(*) from two_tower.events where user_id = 'cut short'"
    with (
        Recommender(database_url=dsn) as recommender,
        killed_while_waiting(dsn, owner, "two_tower.events"),
        pytest.raises(UnavailableError, match="whether it was stored is not known"),
    ):
        recommender.record_event(LIKED[0], "like", user_id="cut short")
    assert owner.execute(count).fetchone() == (0,)


def test_eight_threads_share_three_connections(dsn: str, owner: psycopg.Connection) -> None:
    users = [f"user_{number}" for number in range(8)]
    most = 0
    # Other tests' connections may be idle behind such a query.
    others = [pid for (pid,) in owner.execute("select pid from pg_stat_activity")]
    with Recommender(database_url=dsn, max_connections=3) as recommender:
        expected = {user: recommender.recommend(user, 10) for user in users}
        start = threading.Barrier(8)

        def ask(user: str) -> bool:
            start.wait()
            return all(recommender.recommend(user, 10) == expected[user] for _ in range(20))

        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(ask, user) for user in users]
            while not all(future.done() for future in asked):
                row = owner.execute(
                    "select count(*) from pg_stat_activity where datname = current_database()"
                    " and backend_type = 'client backend' and query like '%%recommend_videos(%%'"
                    " and pid <> all (%s)",
                    [others],
                ).fetchone()
                assert row is not None
                most = max(most, row[0])
        assert all(future.result() for future in asked)
    assert 1 < most <= 3


# --- what is not granted, or not there


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "two_tower"]


def test_a_missing_grant_is_warned_of_once_and_marked(
    page_dsn: str, owner: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with Recommender(database_url=page_dsn) as recommender:
        start = threading.Barrier(8)

        def ask(_: int) -> Any:
            start.wait()
            return recommender.recommend("user_3", 3, filter={"maker": "maker 2"}, offset=1)

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(8)))
        expected = in_sql(owner, "popular_videos('month', 3, '{\"maker\": \"maker 2\"}', '{}', 1)")
        for rows in answers:
            assert [tuple(vars(row).values()) for row in rows] == expected
            assert {row.source for row in rows} == {"popular"}
        (warning,) = warnings(caplog)
        assert "recommend_videos" in warning
        assert "permission denied for function recommend_videos" in warning

        ranked = recommender.rank("user_3", LIKED)
        assert sorted(row.video_id for row in ranked) == sorted(LIKED)
        assert {row.source for row in ranked} == {"popular"}
        assert LIKED[0] not in {r.video_id for r in recommender.recommend_for_likes(LIKED[:1], 50)}

        owner.execute("grant execute on function public.recommend_videos to page")
        try:
            assert {row.source for row in recommender.recommend("user_3", 3)} == {"model"}
        finally:
            owner.execute("revoke execute on function public.recommend_videos from page")


def test_a_missing_grant_of_what_has_no_substitute_is_an_error(page_dsn: str) -> None:
    with Recommender(database_url=page_dsn) as recommender:
        for call in (
            lambda: recommender.explain("user_3", LIKED[0]),
            lambda: recommender.recommend_batch(["user_3"]),
            lambda: recommender.similar_users("user_3"),
            lambda: recommender.because_you_watched("user_3"),
            lambda: recommender.record_event(LIKED[0], "like", user_id="user_3"),
        ):
            with pytest.raises(InputError, match="permission denied for function") as refused:
                call()
            assert "serving_roles" in refused.value.hint


def test_a_refusal_is_no_missing_grant(page_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    with Recommender(database_url=page_dsn) as recommender:
        assert {row.source for row in recommender.similar(LIKED[0], 3)} == {"model"}
        with pytest.raises(InputError, match="names another person"):
            recommender.similar(LIKED[0], 3, user_id="user_3")
    assert warnings(caplog) == []


def test_a_missing_function_is_warned_of_once_and_marked(
    dsn: str, owner: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    owner.execute("alter function public.trending_videos rename to away")
    try:
        with Recommender(database_url=dsn) as recommender:
            for _ in range(3):
                assert {row.source for row in recommender.trending(3)} == {"popular"}
    finally:
        owner.execute("alter function public.away rename to trending_videos")
    (warning,) = warnings(caplog)
    assert "trending_videos" in warning


def test_before_the_first_build_the_error_says_what_to_do(postgres_server: PostgresServer) -> None:
    empty = postgres_server.prepare("recommender_empty")
    with Recommender(database_url=empty) as recommender:
        for call in (recommender.trending, lambda: recommender.recommend_batch(["u"])):
            with pytest.raises(NotEnoughDataError) as refused:
                call()
            assert "dbt build" in refused.value.hint


def test_awaited_writes_are_as_careful(dsn: str, owner: psycopg.Connection) -> None:
    async def go_on() -> int:
        async with AsyncRecommender(database_url=dsn, max_connections=1) as recommender:
            await recommender.trending(3)
            assert terminate(owner) >= 1
            return await recommender.record_event(LIKED[0], "click", user_id="user_9")

    async def cut_short() -> None:
        async with AsyncRecommender(database_url=dsn) as recommender:
            await recommender.record_event(LIKED[0], "like", user_id="cut short")

    with event_loop() as run:
        assert run(go_on()) > 0
        with (
            killed_while_waiting(dsn, owner, "two_tower.events"),
            pytest.raises(UnavailableError, match="whether it was stored is not known"),
        ):
            run(cut_short())
    count = "select count(*) from two_tower.events where user_id = 'cut short'"
    assert owner.execute(count).fetchone() == (0,)


def test_awaited_calls_have_popular_videos_too_and_as_many_connections(
    page_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask() -> tuple[list[Any], int]:
        async with AsyncRecommender(database_url=page_dsn, max_connections=2) as recommender:
            both = (recommender.recommend("user_3", 3), recommender.rank("user_3", LIKED))
            found = await asyncio.gather(*both, *(recommender.popular() for _ in range(9)))
            return found[:2], recommender._pool.get_stats()["pool_max"]

    with event_loop() as run:
        found, most = run(ask())
    assert {row.source for rows in found for row in rows} == {"popular"}
    assert most == 2
    assert sorted(warning.split()[0] for warning in warnings(caplog)) == [
        "rank_videos",
        "recommend_videos",
    ]


def test_what_stands_in_leaves_out_the_same(page_dsn: str) -> None:
    with Recommender(database_url=page_dsn) as recommender:
        first, second = (row.video_id for row in recommender.popular(limit=2))
        assert recommender.recommend("user_3", 1, exclude=[first])[0].video_id == second
        assert recommender.recommend("user_3", 0) == []


def test_lists_heed_their_options(recommender: Recommender) -> None:
    for call in (recommender.popular, recommender.new, recommender.trending):
        first, second, third = (row.video_id for row in call(limit=3))
        assert [row.video_id for row in call(limit=1, exclude=[first])] == [second]
        assert [row.video_id for row in call(limit=1, offset=2)] == [third]
        assert [row.video_id for row in call(limit=1, filter={"ids": [third]})] == [third]


def test_rows_are_in_the_order_of_their_likes(
    recommender: Recommender, owner: psycopg.Connection
) -> None:
    expected = owner.execute(
        "select distinct row_rank, because_video_id::text"
        " from public.because_you_watched('user_1') order by row_rank"
    ).fetchall()
    rows = recommender.because_you_watched("user_1")
    assert [row.video_id for row in rows] == [row[1] for row in expected]
    assert len(rows) == 3


# --- the wheel

ALONE = """
import json, sys, time
started = time.perf_counter()
import two_tower.recommend
seconds = time.perf_counter() - started
with two_tower.recommend.Recommender(database_url=sys.argv[1]) as recommender:
    rows = recommender.recommend("user_3", 3, filter={"maker": "maker 1"})
heavy = {"torch", "dbt", "duckdb", "pyarrow", "onnxruntime", "numpy", "pydantic"} & set(sys.modules)
print(json.dumps({"file": two_tower.__file__, "heavy": sorted(heavy), "seconds": seconds,
    "sources": [row.source for row in rows]}))
"""


def test_the_wheel_needs_no_clone(dsn: str, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    source, wheels, site, empty = (tmp_path / name for name in ("src", "wheels", "site", "empty"))
    empty.mkdir()
    # Of a copy: setuptools leaves its build folder beside the sources.
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT_DIR / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(PROJECT_DIR / "python", source / "python", ignore=ignored)
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = wheels.glob("two_tower-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, dsn],
        cwd=empty,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    print(f"import two_tower.recommend: {said['seconds']:.2f} s")
    assert Path(said["file"]).is_relative_to(site)
    assert said["heavy"] == []
    assert said["sources"] == ["model"] * 3
