"""`two-tower serve` as a process: it starts or says why not, logs, and ends in order."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from conftest import PROJECT_DIR, environment, make_settings
from interfaces.http_server import KEY, VIDEO, bearer, token
from interfaces.test_http_limits import SLEEPS, SLOW
from interfaces.test_http_limits import until as wait_until
from postgres_server import PostgresServer, free_port
from serving.app_world import make_app
from two_tower.core.errors import ExitCode

COMMAND = (str(Path(sys.executable).parent / "two-tower"), "serve")
pytestmark = [pytest.mark.xdist_group("http_process"), pytest.mark.slow]


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    dsn = make_app(postgres_server, "http_process")
    with psycopg.connect(dsn) as connection:
        connection.execute(SLOW)
    return dsn


@dataclass
class Served:
    process: subprocess.Popen[str]
    client: httpx.Client
    log: Path


@contextmanager
def two_tower_serve(dsn: str, folder: Path, **settings: str) -> Iterator[Served]:
    port, log = free_port(), folder / "log"
    given = environment(make_settings("postgres", database_url=dsn)) | settings
    with log.open("w") as file:
        process = subprocess.Popen(
            [*COMMAND, "--port", str(port)], env=given, stderr=file, stdout=file, text=True
        )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
        ) as client:
            wait_until(lambda: is_up(client, process, log), "it serves")
            yield Served(process, client, log)
    finally:
        process.kill()
        process.wait()


def is_up(client: httpx.Client, process: subprocess.Popen[str], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with suppress(httpx.TransportError):
        return client.get("/readyz").status_code == 200
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered_before_it_ends(
    dsn: str, tmp_path: Path, number: signal.Signals
) -> None:
    with two_tower_serve(dsn, tmp_path) as served:
        answers: list[httpx.Response] = []

        def ask() -> None:
            answers.append(served.client.get("/v1/new_videos", params={"offset": 30}))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        with psycopg.connect(dsn, autocommit=True) as connection:
            wait_until(lambda: len(connection.execute(SLEEPS).fetchall()) == 4, "all run")
            served.process.send_signal(number)
            wait_until(lambda: not accepts(served.client), "nobody else comes in")
            assert len(connection.execute(SLEEPS).fetchall()) == 4
        for thread in threads:
            thread.join()
        assert [answer.json()[0]["title"] for answer in answers] == ["slept"] * 4
        assert served.process.wait(60) == 0
        assert "Traceback" not in served.log.read_text()


def accepts(client: httpx.Client) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((client.base_url.host, client.base_url.port or 0)) == 0


def test_an_idle_server_ends_at_once_though_a_client_keeps_its_connection(
    dsn: str, tmp_path: Path
) -> None:
    with two_tower_serve(dsn, tmp_path) as served:
        assert served.client.get("/v1/popular_videos").status_code == 200
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0


def test_a_request_is_a_line_without_ids_and_keys(dsn: str, tmp_path: Path) -> None:
    sub, secret = "account-of-somebody", "a secret of the tests, which is long enough"
    settings = {"TWO_TOWER_API_KEYS": KEY, "TWO_TOWER_JWT_SECRET": secret}
    sent = token(sub, secret=secret)
    with two_tower_serve(dsn, tmp_path, **settings) as served:
        ask = served.client.get
        named = {"user_id": "somebody"}
        ask("/v1/recommend_videos", params=named, headers=bearer(KEY))
        ask("/v1/recommend_for_me", headers=bearer(sent))
        ask("/v1/recommend_videos", params=named | {"limit": "x"}, headers=bearer(KEY))
        ask("/v1/similar_videos", params={"video_id": VIDEO})
        ask("/of-somebody", headers=bearer("wrong-key"))
        event = {"video_id": VIDEO, "kind": "like", "user_id": "somebody"}
        served.client.post("/v1/record_event", json=event, headers=bearer(KEY))
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(60)
    log = served.log.read_text()
    lines = [line for line in log.splitlines() if "readyz" not in line]
    told = [re.sub(r"[\d.]+ ms", "… ms", line) for line in lines if line.startswith("INFO: ")]
    assert told == [
        f"INFO: {str(served.client.base_url).rstrip('/')} answers; Ctrl-C ends it",
        "INFO: GET /v1/recommend_videos 200 … ms, service",
        "INFO: GET /v1/recommend_for_me 200 … ms, user",
        "INFO: GET /v1/recommend_videos 422 … ms, service",
        "INFO: GET /v1/similar_videos 200 … ms, visitor",
        "INFO: GET other 401 … ms, unknown",
        "INFO: POST /v1/record_event 200 … ms, service",
    ]
    for hidden in ("somebody", KEY, secret, sent, "wrong-key", VIDEO, "127.0.0.1:"):
        assert hidden not in log.replace("http://127.0.0.1:", ""), log


def test_a_log_in_json_is_a_line_an_object(dsn: str, tmp_path: Path) -> None:
    with two_tower_serve(dsn, tmp_path, TWO_TOWER_LOG_FORMAT="json") as served:
        served.client.get("/v1/popular_videos")
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(60)
    lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    (told,) = [line for line in lines if line.get("route") == "/v1/popular_videos"]
    assert (told["method"], told["status"], told["tier"]) == ("GET", 200, "service")
    assert told["milliseconds"] > 0


def refused(dsn: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    given = environment(make_settings("postgres", database_url=dsn)) | settings
    return subprocess.run(
        [*COMMAND, *arguments], env=given, capture_output=True, text=True, timeout=60, check=False
    )


def test_what_cannot_start_says_what_to_do(dsn: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cases: list[tuple[tuple[str, ...], dict[str, str], int, str]] = [
            (("--host", "0.0.0.0"), {}, ExitCode.BAD_INPUT, "TWO_TOWER_API_KEYS"),
            (("--port", port), {}, ExitCode.BAD_INPUT, "--port"),
            ((), {"TWO_TOWER_TARGET": "duckdb"}, ExitCode.BAD_INPUT, "Postgres"),
            ((), {"TWO_TOWER_API_KEYS": "short"}, ExitCode.BAD_INPUT, "TWO_TOWER_API_KEYS"),
            ((), {"TWO_TOWER_API_KEYS": ","}, ExitCode.BAD_INPUT, "two-tower serve --help"),
            ((), {"TWO_TOWER_JWT_AUDIENCE": "a"}, ExitCode.BAD_INPUT, "TWO_TOWER_JWT_SECRET or"),
            ((), {"TWO_TOWER_JWT_JWKS": "none.json"}, ExitCode.BAD_INPUT, "none.json"),
            ((), {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, ExitCode.UNAVAILABLE, "running"),
        ]
        for arguments, settings, code, said in cases:
            done = refused(dsn, *arguments, **settings)
            assert done.returncode == code, done.stderr
            assert said in done.stderr
            assert "Traceback" not in done.stderr
            assert "short" not in done.stderr


def test_metrics_are_by_route_and_not_by_what_somebody_typed(dsn: str, tmp_path: Path) -> None:
    with two_tower_serve(dsn, tmp_path) as served:
        for _ in range(3):
            served.client.get("/v1/popular_videos")
        served.client.get("/v1/popular_videos", params={"limit": -1})
        for path in ("/x", "/y", "/v1/z"):
            served.client.get(path)
        served.client.request("BREW", "/v1/popular_videos")
        found = samples(served.client.get("/metrics").text)
    requests = "two_tower_http_requests_total"
    of_popular = 'method="GET",route="/v1/popular_videos"'
    assert found[f'{requests}{{{of_popular},status="200"}}'] == 3
    assert found[f'{requests}{{{of_popular},status="422"}}'] == 1
    assert found[f'{requests}{{method="GET",route="other",status="404"}}'] == 3
    assert not any("/x" in name or "BREW" in name for name in found)
    assert found['two_tower_http_request_seconds_count{route="/v1/popular_videos"}'] >= 4
    assert found["two_tower_http_release"] == 7
    assert found["two_tower_http_connections"] >= 1
    assert found["two_tower_http_requests_waiting"] == 0


def samples(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_what_the_page_types_is_answered(dsn: str, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    page = (PROJECT_DIR / "docs/http.md").read_text(encoding="utf-8")
    typed = re.findall(r"^curl (.*)$", page, re.MULTILINE)
    assert len(typed) == 3
    with two_tower_serve(dsn, tmp_path) as served:
        for line in typed:
            here = line.replace("http://127.0.0.1:8000", str(served.client.base_url))
            done = subprocess.run(
                [curl, "--silent", "--noproxy", "*", *shlex.split(here)],
                capture_output=True,
                text=True,
                check=True,
            )
            answer = json.loads(done.stdout)
            # The page's video is in no catalogue here.
            assert "catalogue" in answer["message"] if "record_event" in line else len(answer) > 2


def test_help_teaches(dsn: str) -> None:
    done = refused(dsn, "--help", COLUMNS="200")
    for told in ("--host", "--port", "TWO_TOWER_API_KEYS", "curl", "docs/http.md"):
        assert told in done.stdout
