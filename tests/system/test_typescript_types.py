"""The types of the TypeScript package are those of the functions that an app calls."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from conftest import PROJECT_DIR
from postgres_server import PostgresServer
from serving.app_world import make_app

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("examples")]

FOLDER = PROJECT_DIR / "clients/typescript"


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    return make_app(postgres_server, "typescript_types")


@pytest.fixture(scope="module")
def database_ts() -> Callable[[psycopg.Connection[Any]], str]:
    written: Callable[[psycopg.Connection[Any]], str]
    written = runpy.run_path(str(FOLDER / "generate_types.py"))["database_ts"]
    return written


def test_the_types_are_those_of_the_functions(
    dsn: str, database_ts: Callable[[psycopg.Connection[Any]], str]
) -> None:
    with psycopg.connect(dsn) as connection:
        written = database_ts(connection)
    assert (FOLDER / "src/database.ts").read_text(encoding="utf-8") == written, (
        "type .venv/bin/python clients/typescript/generate_types.py DATABASE_URL"
    )


def test_an_argument_or_a_type_that_is_new_is_seen(
    dsn: str, database_ts: Callable[[psycopg.Connection[Any]], str]
) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "create function public.likes_of(p_user_id text, p_since date default null)"
            " returns integer language sql return 0"
        )
        arguments = "          p_user_id: string;\n          p_since?: string;\n"
        assert f"      likes_of: {{\n        Args: {{\n{arguments}" in database_ts(connection)
        connection.execute(
            "create function public.x(p_span interval) returns text language sql return ''"
        )
        with pytest.raises(SystemExit, match="type interval is new: add it to TYPES"):
            database_ts(connection)
        connection.rollback()


def test_a_database_without_functions_is_told(
    postgres_server: PostgresServer, database_ts: Callable[[psycopg.Connection[Any]], str]
) -> None:
    with (
        psycopg.connect(postgres_server.prepare("typescript_nothing")) as connection,
        pytest.raises(SystemExit, match="run dbt build on this database first"),
    ):
        database_ts(connection)
