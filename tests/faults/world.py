"""A small installation to break: a Postgres, a data folder, runs and a registry of its own."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from conftest import PROJECT_DIR, make_settings
from faults.invariants import CHECKED, Served, answers_of_one_release, latest_matches, served
from forked import Forks
from postgres_server import PostgresServer
from two_tower.artifacts.registry import Registry
from two_tower.data import sample_data

REVIEWS = 2_000
PROGRAM = Path(sys.executable).parent / "two-tower"
KILLED = Path(__file__).with_name("killed.py")
DATABASE = "site"
HEADER = "product_url,reviewer_id,stars\n"


class World:
    """Runs ``two-tower`` on an installation of its own, and says whether the invariants hold.

    Args:
        folder: short enough for a socket.
        registry: a URL, by default a folder.
        options: of the registry's storage, as JSON.
        postgres: the server's data folder.
        forks: which run what is not to be killed; else all commands are processes of their own.
    """

    def __init__(
        self,
        folder: Path,
        registry: str | None = None,
        options: str = "{}",
        postgres: Path | None = None,
        forks: Forks | None = None,
    ) -> None:
        self.forks = forks
        self.folder = folder
        self.postgres = postgres or folder / "pg"
        self.server = PostgresServer(self.postgres)
        self.dsn = self.server.dsn(DATABASE)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("TWO_TOWER_", "PREFECT"))},
            "TWO_TOWER_TARGET": "postgres",
            "DATABASE_URL": self.dsn,
            "TWO_TOWER_DATA_DIR": str(folder / "raw"),
            "TWO_TOWER_RUNS_DIR": str(folder / "runs"),
            "TWO_TOWER_REGISTRY_URL": registry or str(folder / "artifacts"),
            "TWO_TOWER_REGISTRY_OPTIONS": options,
            "TWO_TOWER_PROJECT_DIR": str(copy_project(folder / "project")),
            "TWO_TOWER_TRAIN__EPOCHS": "4",
            "TWO_TOWER_RETRY_SECONDS": "30",
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DO_NOT_TRACK": "1",
        }
        self._number = itertools.count()

    @property
    def registry(self) -> Registry:
        """The registry that the commands use."""
        return Registry(
            make_settings(
                "postgres",
                registry_url=self.environment["TWO_TOWER_REGISTRY_URL"],
                registry_options=json.loads(self.environment["TWO_TOWER_REGISTRY_OPTIONS"]),
            )
        )

    def begin(self, *arguments: str, command: Collection[Any] = (PROGRAM,), **env: str) -> Any:
        """Start a command, its output in a file, and return its process."""
        log = (self.folder / f"{next(self._number)}.log").open("w+")
        process = subprocess.Popen(
            [*map(str, command), *arguments],
            env={**self.environment, **env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        process.log = log  # type: ignore[attr-defined]
        return process

    def run(self, *arguments: str, seconds: float = 240, **env: str) -> tuple[int, str]:
        """Run a command to its end and return its exit code and what it printed."""
        if self.forks:
            environment = {**self.environment, **env}
            done = self.forks.end([PROGRAM, *arguments], environment, self.folder, seconds)
            return done.returncode, done.stdout + done.stderr
        return self.end(self.begin(*arguments, **env), seconds)

    def killed_at(self, point: str, *arguments: str, number: int = 1, **env: str) -> None:
        """Run a command that kills itself at a point, see ``killed.py``."""
        command = (sys.executable, KILLED, point, str(number), "--")
        code, printed = self.end(self.begin(*arguments, command=command, **env))
        assert code == -signal.SIGKILL, f"it was not killed at {point}:\n{printed[-3000:]}"
        self.nobody_writes()

    def end(self, process: Any, seconds: float = 240) -> tuple[int, str]:
        """Wait for a command and return its exit code and what it printed."""
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"after {seconds} s:\n{self.printed(process)}") from None
        return code, self.printed(process)

    def printed(self, process: Any) -> str:
        process.log.seek(0)
        return str(process.log.read())

    def nobody_writes(self) -> None:
        """What a killed command has started ends with it: no dbt goes on by itself."""
        self.wait_until(
            "select not exists (select from pg_stat_activity where pid <> pg_backend_pid()"
            " and backend_type = 'client backend' and state <> 'idle'"
            " and wait_event is distinct from 'PgSleep')",
            seconds=20,
        )

    def wait_until(self, sql: str, process: Any = None, seconds: float = 300) -> None:
        """Return when a query answers true.

        Raises:
            AssertionError: the process has ended before, or the time is over.
        """
        deadline = time.monotonic() + seconds
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while connection.execute(sql).fetchone() != (True,):  # type: ignore[arg-type]
                if process is not None and process.poll() is not None:
                    raise AssertionError(f"it has ended before {sql}:\n{self.printed(process)}")
                assert time.monotonic() < deadline, f"never: {sql}"
                time.sleep(0.02)

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]

    def deliver(self, name: str = "more", rows: int = 6) -> None:
        """Put a file with new reviews of known videos into the folder: the next run has work."""
        number = next(self._number)
        files = sorted((self.folder / "raw/reviews").glob("dmm_reviews_sample_*.csv"))
        lines = files[0].read_text(encoding="utf-8").splitlines()
        header = lines[0].split(",")
        url = header.index("product_url")
        pages = [
            line.split(",")[url] for line in lines[1:200] if line.count(",") + 1 == len(header)
        ]
        body = "".join(f"{page},new-{number},5\n" for page in pages[:rows])
        path = self.folder / "raw/reviews" / f"dmm_reviews_{name}_{number}.csv"
        path.write_text(HEADER + body, encoding="utf-8")

    def holds(self, *expected: Served) -> Served:
        """I1 and I3: what is served is one of these, and the registry's latest is whole."""
        found = answers_of_one_release(self.dsn, expected or None)
        latest_matches(self.registry)
        return found

    def converges(self, before: Served | None = None, **env: str) -> Served:
        """I2: a run with no hand on it ends well; what it serves is another release than before."""
        code, printed = self.run("run", **env)
        assert code == 0, printed[-5000:]
        now = self.holds()
        assert before is None or now.version != before.version
        assert latest_matches(self.registry) == now.version
        CHECKED.add("I2")
        return now

    def stop_postgres(self, mode: str = "immediate") -> None:
        self.server.stop(mode)

    def start_postgres(self) -> None:
        self.server.start()


def copy_project(folder: Path) -> Path:
    """Copy what a run reads, with a gate that lets every model by: these are no tests of models."""
    folder.mkdir()
    for name in ("selectors.yml", "profiles.yml.example", "dbt_project.yml"):
        shutil.copyfile(PROJECT_DIR / name, folder / name)
    for name in ("macros", "models", "sql", "tests/dbt"):
        shutil.copytree(PROJECT_DIR / name, folder / name)
    shutil.copyfile(folder / "profiles.yml.example", folder / "profiles.yml")
    text = (folder / "dbt_project.yml").read_text(encoding="utf-8")
    judged = re.sub(r"gate_min_users: \d+", "gate_min_users: 1000000", text)
    assert judged != text
    (folder / "dbt_project.yml").write_text(judged, encoding="utf-8")
    return folder


@contextmanager
def new_world(videos: int | None = None, **arguments: Any) -> Iterator[World]:
    """An installation with data and nothing done yet; its Postgres is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tf", dir="/tmp"))
    folder.chmod(0o755)  # as root the server runs as a user of its own
    world = World(folder, **arguments)
    try:
        sample_data.generate(folder / "raw", reviews=REVIEWS, videos=videos)
        world.server.start()
        world.server.prepare(DATABASE)
        yield world
    finally:
        world.server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


def once(action: Callable[[], object], seconds: float = 30) -> None:
    """Try an action until it does not raise."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


__all__ = ["Served", "World", "new_world", "once", "served"]
