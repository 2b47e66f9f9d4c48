"""A Postgres of one's own, prepared with the very statements of its page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from conftest import PROJECT_DIR, MakeDataDir, environment, folders, make_settings
from forked import Ended, Forks
from postgres_server import PostgresServer, running_postgres
from two_tower.core.settings import Settings
from two_tower.database import dbt
from two_tower.operations import setup

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own_postgres")]

PAGE = (PROJECT_DIR / "docs/your-postgres.md").read_text(encoding="utf-8")
OF_ITS_OWN, OF_ANOTHER, API_ROLE = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def test_the_readme_lists_what_the_role_needs() -> None:
    """The very statements of the page, which the test below types."""
    readme = (PROJECT_DIR / "README.md").read_text(encoding="utf-8")
    assert f"```sql\n{OF_ANOTHER}```" in readme
    assert "session port, 5432" in readme


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as started:
        yield started


def type_in(server: PostgresServer, statements: str, database: str = "postgres") -> None:
    """Type the statements into psql as the superuser."""
    script = server.folder.parent / "typed.sql"
    script.write_text(statements)
    at = ("-h", str(server.folder), "-p", str(server.port), "-U", "postgres", "-d", database)
    server.run("psql", *at, "-v", "ON_ERROR_STOP=1", "-f", str(script))


def url_of(server: PostgresServer) -> str:
    """The URL that the page writes into `.env`, of this server."""
    written = re.search(r"DATABASE_URL=(\S+)' >> .env", PAGE)
    assert written is not None
    return written[1].replace("@host:5432/", f"@127.0.0.1:{server.port}/")


@pytest.fixture(params=["a database of its own", "a database of another"])
def prepared(
    request: pytest.FixtureRequest, server: PostgresServer, tmp_path: Path
) -> Iterator[Settings]:
    if request.param == "a database of its own":
        type_in(server, OF_ITS_OWN)
    else:
        server.as_superuser("create database videos")
        type_in(server, OF_ANOTHER, "videos")
    yield make_settings("postgres", database_url=url_of(server), **folders(tmp_path))
    server.as_superuser("drop database videos with (force)")


def two_tower(forks: Forks, settings: Settings, *arguments: str) -> Ended:
    folder = settings.path(settings.data_dir).parent
    return forks.end(["two-tower", *arguments], environment(settings), folder)


def test_what_the_page_asks_of_a_superuser_is_all_that_a_plain_role_needs(
    prepared: Settings,
    server: PostgresServer,
    make_data_dir: MakeDataDir,
    dbt_target: Path,
    request: pytest.FixtureRequest,
    forks: Forks,
) -> None:
    assert prepared.database_url is not None
    with psycopg.connect(prepared.database_url.get_secret_value()) as connection:
        row = connection.execute(
            "select rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls"
            " from pg_roles where rolname = current_user"
        ).fetchone()
    assert row == (False,)
    make_data_dir()

    looked = two_tower(forks, prepared, "doctor", "--json")
    loaded = two_tower(forks, prepared, "load", "--json")
    setup.prepare(prepared)
    built = dbt.run(prepared, "build", "--exclude-resource-type", "unit_test")

    assert looked.returncode == 0, looked.stdout
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout)["rows_loaded"] == 3
    assert built.models > 30

    # In a session that has read no vector yet, as a build has that changes none.
    made = (
        "select oid::regprocedure::text from pg_proc where proowner = current_user::regrole"
        # On what is recorded hang checks and triggers: those functions stay with the tables.
        " and not exists (select from pg_depend where refobjid = pg_proc.oid and deptype = 'n')"
    )
    with psycopg.connect(prepared.database_url.get_secret_value()) as connection:
        functions = [name for (name,) in connection.execute(made).fetchall()]
        connection.execute(f"drop function {', '.join(functions)}")
    given = request.node.callspec.params["prepared"] == "a database of another"
    if given:
        type_in(server, API_ROLE, "videos")
    dbt.run(prepared, "run", "--select", "popularity")
    made += " or proowner = to_regrole('two_tower_api')"
    with psycopg.connect(prepared.database_url.get_secret_value()) as connection:
        again = [name for (name,) in connection.execute(made).fetchall()]
        owner = connection.execute(
            "select proowner::regrole::text from pg_proc where proname = 'recommend_videos'"
        ).fetchone()
    assert any(name.startswith("recommend_videos(") for name in again), again
    assert owner == ("two_tower_api" if given else "recommender",)
