"""What HTTP does when there is too much, when it takes too long, and when the database is away."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from conftest import make_settings
from interfaces.http_server import KEY, VIDEO, bearer, serving, token, with_keys
from postgres_server import PostgresServer, running_postgres
from serving.app_world import make_app
from two_tower.core.settings import Settings
from two_tower.database import sessions
from two_tower.interfaces.http import app, reach
from two_tower.interfaces.http.database import Database
from two_tower.interfaces.http.guard import BODY_BYTES

pytestmark = pytest.mark.xdist_group("http_limits")

# It takes as many seconds as its offset says.
SLOW = """
create or replace function public.new_videos(
    p_limit integer default 20, p_filter jsonb default '{}', p_exclude uuid[] default '{}',
    p_offset integer default 0)
returns table (video_id uuid, score double precision, rank integer, source text, release_id bigint,
    title text, thumbnail_url text, product_url text)
language sql stable as $$
select null::uuid, 0.5::float8, 1, 'popular', 7::bigint, 'slept', null, null
from pg_sleep(p_offset / 10.0) $$
"""
SLEEPS = "select pid from pg_stat_activity where state = 'active' and query ~ 'new_videos[(]p_'"


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    dsn = make_app(postgres_server, "http_limits")
    with psycopg.connect(dsn) as connection:
        connection.execute(SLOW)
    return dsn


def patient(dsn: str, **fields: Any) -> Settings:
    return make_settings("postgres", database_url=dsn, **{"serve_timeout": 120} | fields)


def until(is_so: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def sleeping(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(SLEEPS).fetchall()


@contextmanager
def asked(client: httpx.Client, request: str) -> Iterator[socket.socket]:
    """Send a request and do not read its answer."""
    place = urlsplit(str(client.base_url))
    with socket.create_connection((place.hostname or "", place.port or 0)) as connection:
        connection.sendall(request.format(host=place.netloc).encode())
        yield connection


GET_SLOW = "GET /v1/new_videos?offset=1000 HTTP/1.1\r\nHost: {host}\r\n\r\n"


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(dsn: str) -> None:
    fits = b'{"window": "week"' + b" " * (BODY_BYTES - 18) + b"}"
    headers = {"content-type": "application/json"}
    with serving(patient(dsn)) as client:
        for body in (fits, iter([fits])):
            got = client.post("/v1/popular_videos", content=body, headers=headers)
            assert got.status_code == 200
        for body in (fits + b" ", iter([fits, b" "]), iter([b"[" * 999] * 2000)):
            refused = client.post("/v1/popular_videos", content=body, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (413, "HTTP413")
        assert client.get("/v1/popular_videos").status_code == 200


def test_ten_thousand_ids_fit(dsn: str) -> None:
    with serving(patient(dsn)) as client:
        sent = {"exclude": [VIDEO] * 10_000}
        assert client.post("/v1/popular_videos", json=sent).status_code == 200
        sent = {"exclude": [VIDEO] * 10_001}
        refused = client.post("/v1/popular_videos", json=sent)
        assert (refused.status_code, refused.json()["message"][:7]) == (422, "exclude")


def test_a_key_a_user_or_an_address_that_asks_too_often_is_told_when_to_come_again(
    dsn: str,
) -> None:
    with serving(with_keys(dsn, serve_rate=1)) as client:
        for headers in ({}, bearer(KEY), bearer(token("a")), bearer(token("b"))):
            check_rate(client, headers, 200)
        assert {client.get("/readyz").status_code for _ in range(20)} == {200}


def test_what_is_refused_for_its_number_is_told_by_route_and_tier(
    dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("two_tower"), "propagate", True)
    with caplog.at_level("INFO", "two_tower.http"), serving(with_keys(dsn, serve_rate=1)) as client:
        for _ in range(20):
            client.get("/v1/popular_videos", headers=bearer(KEY))
    told = {(r.route, r.tier) for r in caplog.records if getattr(r, "status", 0) == 429}  # type: ignore[attr-defined]
    assert told == {("/v1/popular_videos", "service")}


def test_who_tries_keys_is_counted_too(dsn: str) -> None:
    with serving(with_keys(dsn, serve_rate=1)) as client:
        check_rate(client, bearer("wrong"), 401)


def check_rate(client: httpx.Client, headers: dict[str, str], allowed: int) -> None:
    answers = [client.get("/v1/popular_videos", headers=headers) for _ in range(20)]
    # Another's requests are not counted among one's own.
    assert answers[0].status_code == allowed
    assert {answer.status_code for answer in answers} == {allowed, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["code"] == "HTTP429"


def test_postgres_ends_a_statement_that_takes_too_long(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "CONNECT_SECONDS", 1000)  # the server does not end it itself
    with serving(patient(dsn, serve_timeout=0.3, serve_connections=1)) as client:
        ended = client.get("/v1/new_videos", params={"offset": 1000})
        assert (ended.status_code, ended.json()["code"]) == (504, "57014")
        assert "0.3 seconds" in ended.json()["message"]
        assert sleeping(dsn) == []
        assert client.get("/v1/new_videos").status_code == 200


def test_postgres_ends_the_statement_of_a_client_that_goes_away(dsn: str) -> None:
    with serving(patient(dsn, serve_connections=1)) as client:
        with asked(client, GET_SLOW):
            until(lambda: sleeping(dsn), "it runs")
        until(lambda: not sleeping(dsn), "it is cancelled")
        # The one connection is free again, and nothing is left in it.
        assert client.get("/v1/new_videos").json()[0]["title"] == "slept"


def test_what_somebody_did_is_recorded_though_they_go_away(dsn: str) -> None:
    body = f'{{"video_id": "{VIDEO}", "kind": "like", "user_id": "left"}}'
    request = (
        "POST /v1/record_event HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n" + body.replace("{", "{{").replace("}", "}}")
    )
    waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'record_'"
    found = "select count(*) from two_tower.events where user_id = 'left'"
    with (
        serving(patient(dsn)) as client,
        psycopg.connect(dsn) as holder,
        psycopg.connect(dsn, autocommit=True) as watcher,
    ):
        holder.execute("lock table two_tower.events in exclusive mode")
        with asked(client, request):
            until(lambda: watcher.execute(waits).fetchall(), "it waits")
        time.sleep(0.3)  # a cancel would have come
        holder.rollback()
        until(lambda: watcher.execute(found).fetchone() == (1,), "it is recorded")


def test_no_free_connection_is_503(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CONNECT_SECONDS", 1)
    with serving(patient(dsn, serve_connections=1)) as client, asked(client, GET_SLOW):
        until(lambda: sleeping(dsn), "it runs")
        refused = client.get("/v1/popular_videos")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "TWO_TOWER_SERVE_CONNECTIONS" in refused.json()["hint"]
        assert client.get("/healthz").status_code == 200


def test_requests_beyond_the_connections_wait_for_one(dsn: str) -> None:
    with serving(patient(dsn, serve_connections=2)) as client:
        found: list[int] = []

        def ask() -> None:
            got = client.get("/v1/new_videos", params={"offset": 1})
            found.append(got.status_code)

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [200] * 12


def test_a_database_without_a_release_is_503(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.prepare("http_empty")
    with serving(patient(dsn)) as client:
        for path in ("/v1/popular_videos", "/v1/recommend_videos?user_id=u", "/readyz"):
            refused = client.get(path)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["hint"]
        assert client.get("/healthz").status_code == 200
        assert "two_tower_http_release " not in client.get("/metrics").text


def test_a_database_that_goes_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "READY_SECONDS", 0)
    monkeypatch.setattr(sessions, "CONNECT_SECONDS", 2)
    with running_postgres() as server:
        dsn = make_app(server, "away")
        with serving(patient(dsn)) as client:
            assert client.get("/readyz").json() == {"status": "ready", "release_id": 7}
            server.stop()
            for path in ("/v1/popular_videos", "/readyz"):
                refused = client.get(path)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert set(refused.json()) == {"code", "message", "hint"}
                assert "127.0.0.1" not in refused.text
            assert client.get("/healthz").status_code == 200
            server.start()
            until(lambda: client.get("/readyz").status_code == 200, "it is ready again")
            # All connections of the pool are lost at once: nobody notices.
            server.stop("immediate")
            server.start()
            assert {client.get("/v1/popular_videos").status_code for _ in range(5)} == {200}


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is logged by the server; a handler of its own, for the root's may be there twice."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    reach.logger.addHandler(handler)
    yield lines
    reach.logger.removeHandler(handler)


def test_a_database_that_is_away_is_told_once_a_minute_and_nobody_waits_for_a_connection(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "READY_SECONDS", 0)
    # Who waited for a connection to be free would run into the client's own limit.
    monkeypatch.setattr(sessions, "CONNECT_SECONDS", 90)
    with running_postgres() as server:
        dsn = make_app(server, "away_at_once")
        with serving(patient(dsn)) as client:
            assert client.get("/readyz").status_code == 200
            server.stop("immediate")
            for path in ("/v1/popular_videos", "/readyz", "/v1/new_videos", "/v1/popular_videos"):
                refused = client.get(path)
                assert (refused.status_code, refused.json()["code"]) == (503, "08006")
                assert refused.json()["message"] == "the database is away"
            server.start()
            until(lambda: client.get("/readyz").status_code == 200, "it is ready again")
    (line,) = (line for line in told if "error connecting" in line)
    assert "\n" not in line


def test_what_the_pool_repeats_is_told_again_after_a_while(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"msg": "away:\n%s", "args": ("x",), "levelno": logging.WARNING}
    found, record = reach.Reach(), logging.makeLogRecord(said)
    for _ in range(3):
        found.handle(record)
    assert told == ["away: x"]
    monkeypatch.setattr(reach, "AGAIN_SECONDS", 0)
    found.handle(record)
    assert told == ["away: x", "away: x"]


def test_a_probe_does_not_wait_for_a_database_that_does_not_answer(dsn: str) -> None:
    with serving(patient(dsn)) as client, psycopg.connect(dsn) as holder:
        holder.execute("lock table two_tower.popularity in access exclusive mode")
        refused = client.get("/readyz")
        assert (refused.status_code, refused.json()["code"]) == (503, "08006")
        holder.rollback()
        until(lambda: client.get("/readyz").status_code == 200, "it is ready")


def test_a_connection_that_is_lost_under_a_call_is_no_error(dsn: str) -> None:
    with serving(patient(dsn)) as client:
        got: list[httpx.Response] = []
        ask = threading.Thread(
            target=lambda: got.append(client.get("/v1/new_videos", params={"offset": 10}))
        )
        ask.start()
        until(lambda: sleeping(dsn), "it runs")
        with psycopg.connect(dsn) as connection:
            (pid,) = sleeping(dsn)[0]
            connection.execute("select pg_terminate_backend(%s)", [pid])
        ask.join()
        assert got[0].status_code == 200


def test_a_defect_is_told_without_what_it_says(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*arguments: Any) -> bytes:
        raise RuntimeError("the secret in it")

    monkeypatch.setattr(Database, "call", fail)
    with serving(patient(dsn)) as client:
        failed = client.get("/v1/popular_videos")
        assert (failed.status_code, failed.json()["code"]) == (500, "XX000")
        assert "secret" not in failed.text
