"""Requests a second through `two-tower serve`, beside the same calls straight at the database.

    python -m benchmarks.http                                  # 200,000 videos and as many users
    python -m benchmarks.http --videos 20000 --users 5000 --seconds 2

One server process answers 16 clients, each with a connection that is kept alive; the peer is 16
connections of psycopg, each with the same calls in the same order. Both take turns, in one run, on
one machine, which the clients share. The client of HTTP is a bare socket: a library would be
measured in place of the server.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import psutil
import psycopg

from benchmarks.harness import BIN, ROOT, report, scratch_environment, timed
from benchmarks.serving import QUERIES, World, land
from two_tower.core.loopback import free_port
from two_tower.core.settings import Settings
from two_tower.database import embedded
from two_tower.serving.release import NO_UNIT_TESTS

CLIENTS = 16
ROUNDS = 3  # of each, in turn: the median counts
Ask = Callable[[int], object]


@dataclass(frozen=True)
class Case:
    """A call: its function, and the arguments of each query."""

    name: str
    arguments: list[dict[str, object]]

    def path(self, number: int) -> str:
        """Return the request's path."""
        return f"/v1/{self.name}?{urlencode(self.arguments[number], doseq=True)}"

    def sql(self) -> str:
        """Return the statement."""
        named = ", ".join(f"p_{name} => %({name})s" for name in self.arguments[0])
        return f"select * from public.{self.name}({named})".replace("ids)s", "ids)s::uuid[]")


def cases(world: World) -> Iterator[Case]:
    """Yield the calls to measure."""
    numbers = range(QUERIES)
    yield Case("recommend_videos", [{"user_id": world.user(n)} for n in numbers])
    likes = [[world.video(n + other) for other in range(10)] for n in numbers]
    yield Case("recommend_for_likes", [{"video_ids": videos} for videos in likes])
    yield Case("similar_videos", [{"video_id": world.video(n)} for n in numbers])
    yield Case("popular_videos", [{"limit": 20} for _ in numbers])


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Run `two-tower serve` in a block; yields its port and the process."""
    port = free_port(8000)
    command = [str(BIN / "two-tower"), "serve", "--port", str(port)]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command, env=scratch_environment(folder, "embedded"), stderr=log, cwd=ROOT
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"two-tower serve: {(folder / 'serve.log').read_text()}")
            time.sleep(0.2)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def over_http(port: int, case: Case) -> Iterator[Ask]:
    """Yield what asks over HTTP, by a connection of its own."""
    requests = [
        f"GET {case.path(n)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        for n in range(QUERIES)
    ]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(number: int) -> bytes:
            connection.sendall(requests[number])
            got = connection.recv(1 << 16)
            head, _, body = got.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), got[:500]
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(1 << 16)
            return body

        yield ask


@contextmanager
def straight(dsn: str, case: Case) -> Iterator[Ask]:
    """Yield what asks the database, by a connection of its own."""
    sql = case.sql()
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield lambda number: connection.execute(sql, case.arguments[number]).fetchall()


def rate(connect: Callable[[], object], seconds: float) -> float:
    """Return how many answers a second all clients get together."""
    done = [0] * CLIENTS
    start = threading.Barrier(CLIENTS)

    def client(place: int) -> None:
        with connect() as ask:  # type: ignore[attr-defined]
            start.wait()
            ends = time.perf_counter() + seconds
            while time.perf_counter() < ends:
                ask((done[place] * 17 + place * 31) % QUERIES)
                done[place] += 1

    threads = [threading.Thread(target=client, args=(place,)) for place in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / seconds


def processor(process: psutil.Process) -> float:
    """Return the seconds of a processor that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(
    dsn: str, port: int, server: psutil.Process, world: World, seconds: float
) -> list[dict[str, object]]:
    """Return the rates of each call, and their ratio."""
    rows: list[dict[str, object]] = []
    for case in cases(world):
        found: dict[str, list[float]] = {"http": [], "straight": []}
        used = processor(server)
        for _ in range(ROUNDS + 1):
            found["straight"].append(rate(lambda case=case: straight(dsn, case), seconds))  # type: ignore[misc]
            found["http"].append(rate(lambda case=case: over_http(port, case), seconds))  # type: ignore[misc]
        # The first round warms both.
        straight_rate = statistics.median(found["straight"][1:])
        http_rate = statistics.median(found["http"][1:])
        rows.append(
            {
                "videos": world.videos,
                "call": case.name,
                "HTTP, requests/s": http_rate,
                "psycopg, calls/s": straight_rate,
                "ratio": http_rate / straight_rate,
                "server, ms of processor": 1000
                * (processor(server) - used)
                / (seconds * sum(found["http"])),
            }
        )
    return rows


def run(world: World, folder: Path, seconds: float) -> None:
    """Land, release, measure and report."""
    settings = Settings(target="embedded", project_dir=ROOT, postgres_dir=folder / "pg")
    dsn = embedded.start(settings)
    try:
        print(f"{world.videos:,} videos: landing", flush=True)
        land(settings, dsn, world)
        print("release", flush=True)
        dbt = [str(BIN / "two-tower"), "dbt", "--"]
        command = [*dbt, "build", "--selector", "release", *NO_UNIT_TESTS]
        timed(command, scratch_environment(folder, "embedded"))
        with served(folder) as (port, server):
            rates = measure(dsn, port, server, world, seconds)
    finally:
        embedded.stop(settings)
    report("http", [], requests=rates)


def main() -> None:
    """Measure the size given on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measure")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tt", dir="/tmp"))
    folder.chmod(0o755)
    try:
        run(World(arguments.videos, arguments.users), folder, arguments.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
