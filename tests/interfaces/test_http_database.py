"""What a call over HTTP does to the database: once, read-only, and its insides stay untold."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from conftest import PROJECT_DIR, folders
from interfaces.http_server import VIDEO, serving
from interfaces.test_http_limits import patient, until
from postgres_server import PostgresServer
from serving.app_world import make_app
from two_tower.interfaces.http import app
from two_tower.interfaces.http.database import Database

pytestmark = pytest.mark.xdist_group("http_database")

EVENT = {"video_id": VIDEO, "kind": "like"}
WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query ~ %s"


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    return make_app(postgres_server, "http_database")


@pytest.fixture(scope="module")
def client(dsn: str) -> Iterator[httpx.Client]:
    with serving(patient(dsn)) as client:
        yield client


@pytest.fixture
def watcher(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def replace(watcher: psycopg.Connection[Any], body: str) -> str:
    """Let new_videos() do something else; returns what puts it back."""
    (before,) = watcher.execute(  # type: ignore[misc]
        "select pg_get_functiondef('public.new_videos'::regproc)"
    ).fetchone()
    head, tail = before[: before.index("AS $")], before[before.rindex("$") + 1 :]
    # A function that is stable may not write anyway.
    head = head.replace("LANGUAGE sql", "LANGUAGE plpgsql").replace(" STABLE", " VOLATILE")
    watcher.execute(f"{head}AS $body${body}$body${tail}".encode())
    return str(before)


def test_a_write_whose_connection_is_lost_is_not_repeated(
    client: httpx.Client, watcher: psycopg.Connection[Any], dsn: str
) -> None:
    """Had it been lost at its commit, a second try would store the event twice."""
    with psycopg.connect(dsn) as holder, ThreadPoolExecutor() as threads:
        holder.execute("lock table two_tower.events in exclusive mode")
        asked = threads.submit(client.post, "/v1/record_event", json=EVENT | {"user_id": "lost"})
        until(lambda: watcher.execute(WAITING, ["record_event"]).fetchall(), "it waits")
        ((pid,),) = watcher.execute(WAITING, ["record_event"]).fetchall()
        watcher.execute("select pg_terminate_backend(%s, 60000)", [pid])
        holder.rollback()
        answer = asked.result()
    count = "select count(*) from two_tower.events where user_id = 'lost'"
    assert watcher.execute(count).fetchone() == (0,)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "may have been stored" in answer.json()["message"]


def test_an_event_that_was_not_sent_is_not_said_to_be_stored(
    client: httpx.Client, watcher: psycopg.Connection[Any]
) -> None:
    refused = client.post("/v1/record_event", json=EVENT | {"user_id": "u", "kind": "hate"})
    assert refused.status_code == 422
    assert "stored" not in refused.text


def test_what_reads_cannot_write(client: httpx.Client, watcher: psycopg.Connection[Any]) -> None:
    before = replace(watcher, "begin create table public.made (); return; end")
    try:
        refused = client.get("/v1/new_videos")
    finally:
        watcher.execute(before.encode())
    assert refused.status_code >= 400
    assert watcher.execute("select to_regclass('public.made')").fetchone() == (None,)


def test_an_error_tells_neither_the_statement_nor_where_in_it(
    client: httpx.Client, watcher: psycopg.Connection[Any]
) -> None:
    raising = "begin perform 'of the inside'::integer; return; end"
    before = replace(watcher, raising)
    try:
        answers = [client.get("/v1/new_videos")]
    finally:
        watcher.execute(before.encode())
    answers.append(client.get("/v1/popular_videos", params={"window": "hour"}))
    answers.append(client.post("/v1/record_event", json=EVENT | {"kind": "hate", "user_id": "u"}))
    for refused in answers:
        assert refused.status_code == 422
        assert set(refused.json()) == {"code", "message", "hint"}
        for inside in ("LINE", "CONTEXT", "PL/pgSQL", "select ", "perform", "two_tower.", "\n"):
            assert inside not in refused.json()["message"] + refused.json()["hint"], refused.text


def test_an_answer_about_readiness_is_kept_for_strangers(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, rows = [], Database.rows

    async def counted(self: Database, *arguments: Any) -> Any:
        asked.append(arguments)
        return await rows(self, *arguments)

    monkeypatch.setattr(Database, "rows", counted)
    for seconds, count in ((1000, 1), (0, 20)):
        monkeypatch.setattr(app, "READY_SECONDS", seconds)
        asked.clear()
        with serving(patient(dsn)) as client:
            answers = [client.get("/readyz").json() for _ in range(20)]
        assert answers == [{"status": "ready", "release_id": 7}] * 20
        assert len(asked) == count


def test_that_the_database_has_no_release_is_kept_too(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, rows = [], Database.rows

    async def counted(self: Database, *arguments: Any) -> Any:
        asked.append(arguments)
        return await rows(self, *arguments)

    monkeypatch.setattr(Database, "rows", counted)
    monkeypatch.setattr(app, "READY_SECONDS", 1000)
    with serving(patient(postgres_server.prepare("http_database_empty"))) as client:
        assert {client.get("/readyz").status_code for _ in range(20)} == {503}
    assert len(asked) == 1


def test_strangers_who_ask_about_readiness_hold_one_connection_together(
    dsn: str, watcher: psycopg.Connection[Any]
) -> None:
    with serving(patient(dsn)) as client, psycopg.connect(dsn) as holder:
        holder.execute("lock table two_tower.popularity in access exclusive mode")
        threads = [threading.Thread(target=client.get, args=("/readyz",)) for _ in range(6)]
        for thread in threads:
            thread.start()
        until(lambda: watcher.execute(WAITING, ["popular_videos"]).fetchall(), "one waits")
        time.sleep(0.5)  # the others would have come
        assert len(watcher.execute(WAITING, ["popular_videos"]).fetchall()) == 1
        holder.rollback()
        for thread in threads:
            thread.join()


def test_a_rollback_that_was_done_already_is_a_conflict(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    dsn = make_app(postgres_server, "http_rollback")
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "alter table two_tower.model_releases"
            " add released_at timestamp default now(), add is_rollback boolean default true;"
            "insert into two_tower.model_releases values (8, 'put back', 2000, null);"
            "create table public.video_embeddings_previous (like public.video_embeddings)"
        )
        function = PROJECT_DIR / "sql/functions/rollback_release.sql"
        connection.execute(function.read_bytes())
    with serving(patient(dsn, **folders(tmp_path))) as client:
        refused = client.post(
            "/explorer/api/rollback",
            json={"serving_version": "put back"},
            headers={"Origin": str(client.base_url).rstrip("/")},
        )
    assert "put back was already put back in place of" in refused.json()["message"]
    assert refused.status_code == 409
