"""An S3-compatible server, and in front of it a door that answers 503 while it is told to."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fsspec
import pytest

from artifacts.test_registry import s3_endpoint  # noqa: F401
from faults.world import World, new_world, served
from two_tower.core.errors import ExitCode

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("storage")]

BUCKET = "models"
ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{}</Code><Message>{}</Message></Error>"""
ERRORS = {
    503: ERROR.format("SlowDown", "Please reduce your request rate.").encode(),
    400: ERROR.format("InvalidRequest", "Not this way.").encode(),
}


@dataclass
class Door:
    """A proxy: while it is shut it answers with an error, 503 as S3 does under load."""

    upstream: str
    status: int = 503
    is_shut: bool = False
    refused: int = 0
    opens_after: int | None = None
    server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if door.is_shut:
                    door.refused += 1
                    if door.opens_after is not None and door.refused >= door.opens_after:
                        door.is_shut = False
                    status, headers = door.status, {"content-type": "application/xml"}
                    content = ERRORS[status]
                else:
                    status, headers, content = door.forward(self, body)
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                is_head = self.command == "HEAD"
                length = int(headers.get("Content-Length", 0)) if is_head else len(content)
                self.send_header("content-length", str(length))
                self.end_headers()
                if not is_head:
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def forward(self, request: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.upstream.removeprefix("http://"), timeout=60)
        connection.request(request.command, request.path, body, dict(request.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content


@pytest.fixture(scope="module")
def door(s3_endpoint: str) -> Iterator[Door]:  # noqa: F811
    made = Door(s3_endpoint)
    yield made
    made.server.shutdown()


def options(door: Door, key: str = "testing") -> dict[str, object]:
    return {
        "key": key,
        "secret": "testing",
        "client_kwargs": {"endpoint_url": door.url, "region_name": "us-east-1"},
    }


@pytest.fixture(scope="module")
def world(door: Door) -> Iterator[World]:
    fs, _ = fsspec.core.url_to_fs(f"s3://{BUCKET}", **options(door))
    fs.call_s3("create_bucket", Bucket=BUCKET)
    arguments = {"registry": f"s3://{BUCKET}/two-tower", "options": json.dumps(options(door))}
    with new_world(**arguments) as made:
        made.converges()
        yield made


def test_503_for_a_while(world: World, door: Door) -> None:
    """The storage answers 503 for a while: the run waits and ends well."""
    before = served(world.dsn)
    world.deliver()
    door.refused, door.opens_after, door.is_shut = 0, 8, True

    now = world.converges(before)

    assert door.refused == 8
    assert now.version != before.version


def test_503_for_ever(world: World, door: Door) -> None:
    """The storage answers 503 for ever: the run gives up, and the next goes on with it."""
    before = served(world.dsn)
    world.deliver()
    door.refused, door.opens_after, door.is_shut = 0, None, True
    try:
        code, printed = world.run("run", TWO_TOWER_RETRY_SECONDS="3")
    finally:
        door.is_shut = False
    assert code == ExitCode.UNAVAILABLE, printed
    assert "trying again" in printed
    assert "did not answer" in printed
    assert "Traceback" not in printed
    world.holds(before)
    world.converges(before)


def test_400(world: World, door: Door) -> None:
    """The storage refuses what it is asked: that is not tried again."""
    before = served(world.dsn)
    world.deliver()
    door.status, door.opens_after, door.is_shut = 400, None, True
    try:
        code, printed = world.run("run")
    finally:
        door.status, door.is_shut = 503, False
    assert code == ExitCode.BAD_INPUT, printed
    assert "refuses the request" in printed
    assert "trying again" not in printed
    world.holds(before)
    world.converges(before)


def test_missing_bucket(world: World, door: Door) -> None:
    """The bucket is missing: said at once, not tried again."""
    before = served(world.dsn)

    code, printed = world.run("run", TWO_TOWER_REGISTRY_URL="s3://no-such-bucket/two-tower")

    assert code == ExitCode.BAD_INPUT, printed
    assert "no-such-bucket" in printed
    assert "no such bucket" in printed
    assert "trying again" not in printed
    assert "Traceback" not in printed
    world.holds(before)


def test_wrong_credentials(world: World, door: Door) -> None:
    """The credentials are wrong: said at once, not tried again, and not shown."""
    before = served(world.dsn)
    world.deliver()

    def check_from(count: str) -> None:
        request = urllib.request.Request(
            f"{door.upstream}/moto-api/reset-auth",
            data=count.encode(),
            headers={"content-type": "text/plain"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=10).close()

    wrong = options(door, key="AKIAWRONGWRONGWRONG1") | {"secret": "s3cret-of-nobody"}
    check_from("0")
    try:
        code, printed = world.run("run", TWO_TOWER_REGISTRY_OPTIONS=json.dumps(wrong))
    finally:
        check_from("1000000000")
    assert code == ExitCode.BAD_INPUT, printed
    assert "refuses access" in printed
    assert "trying again" not in printed
    assert "s3cret-of-nobody" not in printed
    assert "Traceback" not in printed
    world.holds(before)
    world.converges(before)
