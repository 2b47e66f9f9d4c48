"""One run at a time: a second process finds the lock held, and free as soon as its holder died."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from conftest import environment
from two_tower.core.errors import BusyError, ExitCode
from two_tower.core.settings import Settings
from two_tower.database import locks
from two_tower.database.warehouse import open_warehouse

HOLD = (
    "import sys\nfrom two_tower.database import locks\n"
    "from two_tower.core.settings import Settings\n"
    "with locks.held(Settings(_env_file=None), sys.argv[1]):\n"
    "    print('held', flush=True)\n    sys.stdin.read()\n"
)


@contextmanager
def holder(settings: Settings, name: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, name],
        env=environment(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_second_is_told_at_once_who_holds_the_lock(either_settings: Settings) -> None:
    with holder(either_settings, "run") as process:
        started = time.monotonic()
        with pytest.raises(BusyError, match=f"process {process.pid} on "):
            locks.held(either_settings, locks.RUN).__enter__()
        assert time.monotonic() - started < 2
        with locks.held(either_settings, locks.SERVING):
            pass  # a rollback does not wait for a run


def test_a_killed_holder_holds_nothing(either_settings: Settings) -> None:
    with holder(either_settings, "run") as process:
        process.kill()
        process.wait()
        deadline = time.monotonic() + 3
        while True:
            try:
                with locks.held(either_settings, locks.RUN):
                    break
            except BusyError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_process_does_not_stand_in_its_own_way(either_settings: Settings) -> None:
    with locks.held(either_settings, locks.RUN), locks.held(either_settings, locks.RUN):
        pass
    with holder(either_settings, "run"):
        pass  # it was given back


def test_a_run_beside_another_ends_with_a_code_of_its_own_and_writes_nothing(
    either_settings: Settings, tmp_path: Path
) -> None:
    with holder(either_settings, "run"):
        for command in (["run"], ["load"], ["embed"]):
            done = subprocess.run(
                [Path(sys.executable).parent / "two-tower", *command],
                env={**environment(either_settings), "TWO_TOWER_RETRY_SECONDS": "0"},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == ExitCode.BUSY == 7
            assert "another two-tower is running on this database" in done.stderr
            assert "nothing was written" in done.stderr
            assert "Traceback" not in done.stderr
    with open_warehouse(either_settings) as warehouse:
        assert not warehouse.relation_exists("raw", "reviews")
        assert not warehouse.relation_exists("two_tower", "finished_steps")


def test_a_lock_that_was_lost_is_taken_again_unless_another_has_it(
    clean_postgres: Settings, postgres_dsn: str
) -> None:
    end_all = (
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
        " and application_name like 'two-tower run,%'"
    )
    with locks.held(clean_postgres, locks.RUN):
        with psycopg.connect(postgres_dsn) as connection:
            connection.execute(end_all)
        time.sleep(0.2)
        with locks.held(clean_postgres, locks.RUN):
            with pytest.raises(AssertionError), holder(clean_postgres, "run"):
                pass  # it is ours again
            with psycopg.connect(postgres_dsn) as connection:
                connection.execute(end_all)
            time.sleep(0.2)
            with holder(clean_postgres, "run"), pytest.raises(BusyError):
                locks.held(clean_postgres, locks.RUN).__enter__()
