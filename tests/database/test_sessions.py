"""What a session of ours has, whatever role, database and environment say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from conftest import (
    CATALOGUE,
    PAGE,
    environment,
    folders,
    make_settings,
)
from postgres_server import PostgresServer
from two_tower.core.settings import Settings
from two_tower.database import dbt, sessions
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import setup

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sessions")]

# As an administrator, a framework or another app of the same role may have left it.
HOSTILE = {
    "client_encoding": "LATIN1",
    "TimeZone": "Asia/Tokyo",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "search_path": "trap, pg_catalog",
    "row_security": "off",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "900ms",
    "transaction_timeout": "950ms",
    "lock_timeout": "10ms",
    "idle_in_transaction_session_timeout": "500ms",
    "idle_session_timeout": "900ms",
}
# Found first on this path, and wrong.
TRAP = """
create schema trap;
grant usage on schema trap to public;
create function trap.md5(text) returns text language sql as 'select ''trapped''::text';
create function trap.lower(text) returns text language sql as 'select ''trapped''::text';
create table trap.videos (id text);
"""
IDS = ["花子", "ﾊﾅｺ", "高橋〜", "é", "👩‍🎤", "ascii"]
TITLE = "夏の海〜①"
REVIEWS = "product_url,reviewer_id,stars,reviewed_at\n" + "".join(
    f"{PAGE}abc001/,{name},5,2024-08-01T10:00:00.123456Z\n{PAGE}abc002/,{name},1,2024-08-02\n"
    for name in IDS
)
VIDEOS_CSV = CATALOGUE["videos.csv"].replace("夏の海", TITLE).replace("1980", "1980.123456789")


@pytest.fixture(scope="module")
def hostile_url(postgres_server: PostgresServer) -> str:
    """The URL of a database whose role carries every setting that could harm."""
    url = postgres_server.prepare("hostile")
    in_database = "alter role app in database hostile set"
    values = [(name, "'" + value + "'") for name, value in HOSTILE.items() if name != "search_path"]
    postgres_server.as_superuser(
        TRAP,
        *(f"{in_database} {name} = {value}" for name, value in values),
        f"{in_database} search_path = {HOSTILE['search_path']}",
        database="hostile",
    )
    return url


def environment_of(encoding: str) -> dict[str, str]:
    """What libpq finds in the environment, and would obey."""
    return {
        "PGCLIENTENCODING": encoding,
        "PGTZ": "Asia/Tokyo",
        "PGDATESTYLE": "German",
        "PGOPTIONS": "-c extra_float_digits=-15",
    }


@pytest.fixture(params=["LATIN1", "SJIS"])
def hostile(
    hostile_url: str,
    dbt_target: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings of that database, in an environment of the same kind."""
    for name, value in environment_of(request.param).items():
        monkeypatch.setenv(name, value)
    return make_settings("postgres", database_url=hostile_url, **folders(tmp_path))


ASKED = (
    "select name, setting from pg_settings where name in ("
    + ", ".join(f"'{name}'" for name in HOSTILE)
    + ") order by name"
)
EXPECTED = sessions.SETTINGS | {"client_encoding": "UTF8"}


Capture = pytest.CaptureFixture[str]


def by_psycopg(settings: Settings, _: Capture) -> dict[str, str]:
    with open_warehouse(settings) as warehouse:
        return {row["name"]: row["setting"] for row in warehouse.fetch(ASKED)}


def by_adbc(settings: Settings, _: Capture) -> dict[str, str]:
    with open_warehouse(settings) as warehouse:
        rows = warehouse.read_arrow(ASKED).read_all().to_pylist()
    return {row["name"]: row["setting"] for row in rows}


def by_dbt(settings: Settings, printed: Capture) -> dict[str, str]:
    dbt.run(settings, "show", "--inline", ASKED, "--limit", "50", "--output", "json")
    text = printed.readouterr().err
    shown = json.JSONDecoder().raw_decode(text, text.index("{"))[0]["show"]
    return {row["name"]: row["setting"] for row in shown}


@pytest.mark.parametrize("read", [by_psycopg, by_adbc, by_dbt])
def test_a_session_of_ours_has_our_settings(
    hostile: Settings, read: Callable[[Settings, Capture], dict[str, str]], capsys: Capture
) -> None:
    assert HOSTILE.keys() == EXPECTED.keys()
    assert hostile.database_url is not None
    with psycopg.connect(hostile.database_url.get_secret_value()) as plain:
        theirs = dict(plain.execute(ASKED).fetchall())  # type: ignore[arg-type]
    assert [name for name in EXPECTED if theirs[name] == EXPECTED[name]] == []

    assert read(hostile, capsys) == EXPECTED


@pytest.fixture(scope="module")
def built(hostile_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The same database, loaded as a user does it, a file in each encoding, and built."""
    folder = tmp_path_factory.mktemp("built")
    settings = make_settings("postgres", database_url=hostile_url, **folders(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_TARGET_PATH", str(folder / "target"))
        patch.setenv("DBT_LOG_PATH", str(folder / "target"))
        for encoding in ("SJIS", "LATIN1"):
            for name, value in environment_of(encoding).items():
                patch.setenv(name, value)
            files = CATALOGUE | {"videos.csv": VIDEOS_CSV}
            write(folder / "raw/reviews", {f"dmm_reviews_{encoding}.csv": REVIEWS})
            write(folder / "raw/catalogue", files)
            done = subprocess.run(
                [Path(sys.executable).parent / "two-tower", "load"],
                env=environment(settings),
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        setup.prepare(settings)
        dbt.run(settings, "build", "--exclude-resource-type", "unit_test")
        yield settings


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())


def test_every_byte_of_an_id_is_stored_built_and_read_as_it_was_written(
    built: Settings, postgres_server: PostgresServer
) -> None:
    given = sorted(name.encode() for name in IDS)

    def stored(query: str) -> list[bytes]:
        with psycopg.connect(postgres_server.superuser_dsn, dbname="hostile") as admin:
            found = admin.execute(f"select distinct convert_to({query} order by 1")  # type: ignore[arg-type]
            return [bytes(row[0]) for row in found.fetchall()]

    for encoding in ("SJIS", "LATIN1"):
        of_file = f"where file like '%{encoding}%'"
        assert stored(f"reviewer_id, 'UTF8') from raw.reviews {of_file}") == given
    assert stored("user_id, 'UTF8') from two_tower.interactions") == given

    with open_warehouse(built) as warehouse:
        rows = warehouse.read_arrow("select user_id, label from two_tower.interactions").read_all()
        video = warehouse.fetch("select title, price from two_tower.videos where price > 1000")
        moments = warehouse.fetch("select distinct reviewed_at from raw.reviews order by 1")

    with open_warehouse(built, for_app=True) as warehouse:
        asked = "select distinct user_id from two_tower.interactions where user_id = ?"
        assert [warehouse.fetch(asked, (name,)) for name in IDS] == [[{"user_id": n}] for n in IDS]

    assert sorted(name.encode() for name in rows["user_id"].to_pylist()) == sorted(2 * given)
    assert video == [{"title": TITLE, "price": 1980.123456789}]
    assert [row["reviewed_at"].isoformat() for row in moments] == [
        "2024-08-01T10:00:00.123456",
        "2024-08-02T00:00:00",
    ]
