"""The files of sql/: psql runs each of them, as the plain role, wherever pgvector is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from conftest import PROJECT_DIR
from postgres_server import PostgresServer
from two_tower.data.text_values import INVISIBLE

FOLDER = PROJECT_DIR / "sql"
FUNCTIONS = sorted((FOLDER / "functions").glob("*.sql"))
# Whom the caller records for they say themselves.
DEFINERS = {"record_event", "record_impressions", "explain_recommendation"}
SEARCHES = ("recommend_videos", "similar_videos", "recommend_for_vector")
# What a function of the app reads: the least of what dbt makes.
READ = """
create schema two_tower;
create table two_tower.interactions (user_id text, item_id uuid);
create table two_tower.popularity (video_id uuid, score double precision, popularity_rank integer);
create table two_tower.videos (video_id uuid);
"""


@pytest.fixture(scope="module", params=["extensions", "vectors of us"])
def dsn(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> str:
    """A database of a plain role, with pgvector in the schema that the files name, or another."""
    name = f"sql_files_{re.sub(' ', '_', request.param)}"
    schema = request.param if request.param == "extensions" else f'"{request.param}"'
    dsn = postgres_server.prepare(name, extensions=schema)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(READ)
        for file in (FOLDER / "statements/make_served_tables.sql", *FUNCTIONS):
            if request.param == "extensions":
                run_psql(postgres_server, dsn, file)
            else:
                text = file.read_text("utf-8").replace("extensions.", f"{schema}.")
                connection.execute(text.encode())
    return dsn


def run_psql(server: PostgresServer, dsn: str, file: Path) -> None:
    command = [server.bin_dir / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_file_makes_the_function_of_its_name(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select proname, prosecdef, proconfig from pg_proc where pronamespace ="
            " any (array['public', 'two_tower']::regnamespace[])"
        ).fetchall()
    assert sorted(row[0] for row in rows) == [path.stem for path in FUNCTIONS]
    # The app's run with their owner's rights (ADR 23). With an empty path pg_temp comes first.
    assert {row[0] for row in rows if row[1]} == set(SEARCHES)
    pinned = "search_path=pg_catalog, pg_temp"
    assert [row[0] for row in rows if pinned not in (row[2] or [])] == []


def test_what_was_made_answers(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "insert into two_tower.popularity values (gen_random_uuid(), 1, 1);"
            "insert into two_tower.videos select video_id from two_tower.popularity"
        )
        rows = connection.execute("select * from public.recommend_videos('nobody')").fetchall()
        connection.execute("select two_tower.tune_search(3)")
        connection.execute("select two_tower.sync_grants('{}', false)")
        connection.rollback()
    assert len(rows) == 1


def test_every_file_says_what_it_is_and_has_no_jinja() -> None:
    files = sorted(FOLDER.rglob("*.sql"))
    assert len(files) > len(FUNCTIONS) > 8
    for file in files:
        text = file.read_text("utf-8")
        assert not re.search(r"\{\{|\{%|\{#", text), file.name
        assert text.startswith("-- "), file.name


def test_the_three_search_alike() -> None:
    texts = [(FOLDER / f"functions/{name}.sql").read_text("utf-8") for name in SEARCHES]
    searches = {text[text.index("nearest as materialized") :] for text in texts}
    assert len(searches) == 1
    settings = {tuple(re.findall(r"(?m)^(set .*|language .*)$", text)) for text in texts}
    assert len(settings) == 1


def test_an_id_is_asked_for_as_it_is_stored() -> None:
    """A file cannot call the macro text_value: its characters are written out."""
    text = (FOLDER / "functions/recommend_videos.sql").read_text("utf-8")
    pieces = re.findall(r"(?m)^ {12}'(.*)',?$", text[: text.index("as user_id")])
    # A text of Postgres has no U+0000.
    ranges = "".join(rf"\u{first or 1:04x}-\u{last:04x}" for first, last in INVISIBLE)
    assert "".join(pieces).removesuffix("', 'g") == f"^[{ranges}]+|[{ranges}]+$"


def test_as_many_are_taken_as_were_measured() -> None:
    measured = (FOLDER / "statements/index_recall.sql").read_text("utf-8")
    taken = re.search(r"limit (\S+ \* )20\n", measured)
    assert taken is not None
    text = (FOLDER / "functions/recommend_videos.sql").read_text("utf-8")
    assert f"limit (select {taken[1]}query.wanted + " in text
