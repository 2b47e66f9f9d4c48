"""What a real server refuses, by each driver: an error that a person can act on, or a defect."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from conftest import folders, make_settings
from postgres_server import PostgresServer
from two_tower.core.errors import BuildError, ExitCode, InputError, TwoTowerError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.database import database_errors, dbt
from two_tower.database.warehouse import PostgresWarehouse
from two_tower.operations import setup

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("database_errors")]

LONG = "repeat('x', 10) || string_agg(md5(i::text), '') from generate_series(1, 1000) as i"
# A statement, and what its error is to the person who typed a command.
REFUSED: dict[str, type[TwoTowerError] | None] = {
    "create role another": InputError,
    "select * from secret.ids": InputError,
    "begin read only; create table anywhere (id text)": InputError,
    "create extension no_such_extension": InputError,
    "select null::halfvec": InputError,
    "select convert_from('\\xff'::bytea, 'UTF8')": InputError,
    f"create table long (id text unique); insert into long select {LONG}": InputError,
    "set statement_timeout = 1; select pg_sleep(1)": UnavailableError,
    "select pg_terminate_backend(pg_backend_pid())": UnavailableError,
    "select * from nowhere": None,
    "select 1 / 0": None,
    "selec 1": None,
}


@pytest.fixture(scope="module")
def url(postgres_server: PostgresServer) -> str:
    made = postgres_server.prepare("refusing")
    secret = ("create schema secret", "create table secret.ids (id text)")
    postgres_server.as_superuser(*secret, database="refusing")
    return made


@pytest.mark.parametrize(("statement", "kind"), REFUSED.items(), ids=list(REFUSED))
def test_an_error_of_the_server_is_for_its_owner_or_a_defect(
    url: str, statement: str, kind: type[TwoTowerError] | None
) -> None:
    warehouse = PostgresWarehouse(url)
    with pytest.raises(psycopg.Error) as caught:
        warehouse.execute(statement)
    warehouse.close()

    told = database_errors.explained(caught.value, "load")

    assert type(told) is (type(None) if kind is None else kind)
    if told is not None:
        assert str(told).startswith("load: ")
        assert database_errors.first_line(caught.value) in str(told)
        assert told.hint
        is_lost = "terminate" in statement
        assert ("went away" in str(told)) == is_lost  # a server that answers has not gone


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("select * from secret.ids", InputError),
        ("select pg_terminate_backend(pg_backend_pid())", UnavailableError),
        # In mid-stream, where the driver has a text and no code.
        ("select 1 / (200000 - i), md5(i::text) from generate_series(1, 200000) as i", None),
        ("select * from nowhere", None),
    ],
)
def test_an_error_in_reading_arrow_is_told_the_same(
    url: str, query: str, kind: type[TwoTowerError] | None
) -> None:
    warehouse = PostgresWarehouse(url)
    with pytest.raises(psycopg.Error) as caught:
        warehouse.read_arrow(query).read_all()
    warehouse.close()

    assert type(database_errors.explained(caught.value)) is (type(None) if kind is None else kind)


def test_a_missing_library_of_pgvector_is_no_failing_machine(url: str) -> None:
    for text, code in (
        # As a server says them whose vector.so was moved away (58P01), or is of another version.
        ('could not access file "$libdir/vector": No such file or directory', "58P01"),
        ('could not load library "/usr/lib/vector.so": cannot open shared object file', "XX000"),
    ):
        with psycopg.connect(url) as connection, pytest.raises(psycopg.Error) as caught:
            connection.execute(
                f"do $$ begin raise exception '{text}' using errcode = '{code}'; end $$"
            )
        assert caught.value.sqlstate == code

        told = database_errors.explained(caught.value, "release")

        assert isinstance(told, InputError)
        assert "the server's pgvector library is missing" in str(told)
        assert text in str(told)
        assert "install pgvector" in told.hint
        shown = database_errors.shown_by_dbt(f"  Database Error\n  {text}\n")
        assert shown is not None
        assert shown[0].error(text, "").hint == told.hint


@pytest.mark.parametrize(
    ("query", "password", "kind", "code"),
    [
        ("select * from secret.ids", None, InputError, ExitCode.BAD_INPUT),
        ("select 1 as one", "wrong", InputError, ExitCode.BAD_INPUT),
        ("select * from nowhere", None, BuildError, ExitCode.UNEXPECTED),
    ],
    ids=["no privilege", "wrong password", "a defect"],
)
def test_what_dbt_shows_is_told_the_same(
    url: str,
    postgres_server: PostgresServer,
    dbt_target: Path,
    tmp_path: Path,
    query: str,
    password: str | None,
    kind: type[TwoTowerError],
    code: ExitCode,
) -> None:
    given = url if password is None else postgres_server.dsn("refusing", password=password)
    settings: Settings = make_settings("postgres", database_url=given, **folders(tmp_path))
    setup.prepare(settings)

    with pytest.raises(TwoTowerError) as caught:
        dbt.run(settings, "show", "--inline", query)

    assert type(caught.value) is kind
    assert caught.value.exit_code == code
