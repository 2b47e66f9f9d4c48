"""pgbouncer in front of Postgres: the project by sessions, an app by transactions too."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import PROJECT_DIR, environment, folders, make_settings
from faults.world import copy_project
from pgbouncer import needs_pgbouncer, running_pgbouncer, through
from postgres_server import PostgresServer
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.data import sample_data
from two_tower.database import locks, sessions
from two_tower.database.warehouse import open_warehouse
from two_tower.operations.pipeline import STEPS
from two_tower.serving.recommender import Recommender

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("poolers"), needs_pgbouncer]

REVIEWS = 2_000


@dataclass
class Poolers:
    """One database by three ways."""

    direct: Settings
    session: Settings
    transaction: Settings


@pytest.fixture(scope="module")
def poolers(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Poolers]:
    url = postgres_server.prepare("behind_poolers")
    folder = tmp_path_factory.mktemp("poolers")
    project = copy_project(folder / "project")
    with ExitStack() as stack:
        ports = [
            stack.enter_context(running_pgbouncer(postgres_server, mode))
            for mode in ("session", "transaction")
        ]
        urls = [url, *(through(url, postgres_server, port) for port in ports)]
        settings = [
            make_settings("postgres", database_url=url, **folders(folder)).model_copy(
                update={"project_dir": project}
            )
            for url in urls
        ]
        yield Poolers(*settings)


def two_tower(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as target:
        return subprocess.run(
            [Path(sys.executable).parent / "two-tower", *arguments],
            env=environment(settings)
            | {
                "TWO_TOWER_TRAIN__EPOCHS": "4",
                "TWO_TOWER_RETRY_SECONDS": "0",
                "DBT_TARGET_PATH": target,
                "DBT_LOG_PATH": target,
            },
            cwd=settings.data_dir.parent,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def released(poolers: Poolers) -> dict[str, Any]:
    """What `two-tower run` did, the whole way through a pooler that hands out sessions."""
    sample_data.generate(poolers.session.data_dir, reviews=REVIEWS)
    done = two_tower(poolers.session, "run", "--json")
    assert done.returncode == 0, done.stderr[-4000:]
    summaries: dict[str, Any] = json.loads(done.stdout)
    return summaries


def test_sessions_of_a_pooler_carry_a_run_the_whole_way(
    poolers: Poolers, released: dict[str, Any]
) -> None:
    assert list(released) == [step.name for step in STEPS]
    assert released["release"]["swapped"]
    with open_warehouse(poolers.session) as warehouse:
        assert warehouse.fetch("show timezone") == [{"TimeZone": sessions.SETTINGS["TimeZone"]}]
    with locks.held(poolers.session, locks.RUN):
        done = two_tower(poolers.session, "load")
        assert done.returncode == 7, done.stderr


@pytest.mark.parametrize("command", [("forget-user", "somebody"), ("train",), ("status",)])
def test_transactions_of_a_pooler_carry_no_command_but_an_app_s(
    poolers: Poolers, command: tuple[str, ...]
) -> None:
    """`load` and `run` are in test_doctor.py; these look at nothing first."""
    done = two_tower(poolers.transaction, *command)

    assert done.returncode == 3, done.stderr
    assert "6543" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lock_is_refused_where_it_would_hold_nothing(poolers: Poolers) -> None:
    with pytest.raises(InputError, match="hold nothing"), locks.held(poolers.transaction, "run"):
        pass


def test_what_is_refused_has_set_nothing_in_anothers_session(poolers: Poolers) -> None:
    url = poolers.transaction.database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value(), autocommit=True) as app:
        app.execute("set statement_timeout = '77s'")  # the server behind keeps it
        with pytest.raises(InputError), open_warehouse(poolers.transaction):
            pass
        assert app.execute("show statement_timeout").fetchone() == ("77s",)
        app.execute("reset statement_timeout")


def test_an_app_reads_by_transactions_beside_others(
    poolers: Poolers, released: dict[str, Any]
) -> None:
    with open_warehouse(poolers.direct) as warehouse:
        users = [
            row["user_id"]
            for row in warehouse.fetch(
                "select user_id from public.user_embeddings order by user_id limit 5"
            )
        ]
    with Recommender(poolers.direct) as direct:
        expected = {user: direct.recommend(user, limit=5) for user in (*users, "a stranger")}

    # Each question is asked often, in turns: what a driver prepares would be found missing then.
    with Recommender(poolers.transaction) as one, Recommender(poolers.transaction) as other:
        for _ in range(8):
            for user, answer in expected.items():
                for recommender in (one, other):
                    assert recommender.recommend(user, limit=5) == answer


def test_the_command_line_recommends_by_transactions(
    poolers: Poolers, released: dict[str, Any]
) -> None:
    done = two_tower(poolers.transaction, "recommend", "a stranger", "-k", "3", "--json")

    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 3


def test_the_pages_snippet_answers_by_transactions(
    poolers: Poolers, released: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (PROJECT_DIR / "docs/app.md").read_text(encoding="utf-8")
    snippet = page.split("### Python")[1].split("```python\n")[1].split("```")[0]
    # An app asks more than once: a driver prepares what it sees for the fifth time.
    often = snippet.replace("    rows =", "    for _ in range(8): rows =")
    assert often != snippet
    url = poolers.transaction.database_url
    assert url is not None
    monkeypatch.setenv("DATABASE_URL", url.get_secret_value())
    answers: dict[str, Any] = {}

    for _ in range(2):
        exec(often, answers)

    assert len(answers["rows"]) == 20
