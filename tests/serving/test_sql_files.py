"""The files of sql/: psql runs each of them, as the plain role, wherever pgvector is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from conftest import PROJECT_DIR
from postgres_server import PostgresServer
from serving.app_world import BEFORE_EVENTS, EVENT_STARS, WORLD
from two_tower.data.text_values import INVISIBLE, LOSS, MAX_ID, MISSING

FOLDER = PROJECT_DIR / "sql"
FUNCTIONS = sorted((FOLDER / "functions").glob("*.sql"))
# The app's run with their owner's rights (ADR 23); so does what says whom a request is from.
DEFINERS = {
    *("recommend_videos", "recommend_for_me", "recommend_for_likes", "recommend_for_vector"),
    *("similar_videos", "rank_videos", "recommend_batch", "because_you_watched", "similar_users"),
    *("popular_videos", "new_videos", "trending_videos", "explain_recommendation"),
    *("record_event", "record_impressions", "reviewer_of_request"),
}
FIRST = [
    *(FOLDER / f"functions/{name}.sql" for name in BEFORE_EVENTS),
    *(FOLDER / f"statements/{name}.sql" for name in ("make_events", "make_served_tables")),
]
# Files in the order of their names call what is not there yet.
UNORDERED = "-c check_function_bodies=off"


@pytest.fixture(scope="module", params=["extensions", "vectors of us"])
def dsn(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> str:
    """A database of a plain role, with pgvector in the schema that the files name, or another."""
    name = f"sql_files_{re.sub(' ', '_', request.param)}"
    schema = request.param if request.param == "extensions" else f'"{request.param}"'
    dsn = postgres_server.prepare(name, extensions=schema)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute((WORLD + EVENT_STARS).replace("extensions.", f"{schema}.").encode())
        connection.execute("set check_function_bodies = off")
        for file in (*FIRST, *FUNCTIONS):
            if request.param == "extensions":
                run_psql(postgres_server, dsn, file)
            else:
                text = file.read_text("utf-8").replace("extensions.", f"{schema}.")
                connection.execute(text.encode())
    return dsn


def run_psql(server: PostgresServer, dsn: str, file: Path) -> None:
    command = [server.bin_dir / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", file]
    environment = {**os.environ, "PGOPTIONS": UNORDERED}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_each_file_makes_the_function_of_its_name(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select proname, prosecdef, proconfig from pg_proc where pronamespace ="
            " any (array['public', 'two_tower']::regnamespace[])"
        ).fetchall()
    made = sorted(row[0] for row in rows if row[0] != "event_stars")
    assert made == [path.stem for path in FUNCTIONS]
    assert {row[0] for row in rows if row[1]} == DEFINERS
    # With an empty path pg_temp comes first.
    pinned = "search_path=pg_catalog, pg_temp"
    assert [row[0] for row in rows if pinned not in (row[2] or [])] == []


def test_what_was_made_answers(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("select two_tower.tune_search(3)")
        connection.execute("select two_tower.sync_grants('{}', false)")
        rows = connection.execute("select * from public.recommend_videos('nobody')").fetchall()
        connection.rollback()
    assert len(rows) == 20


def test_every_file_says_what_it_is_and_has_no_jinja() -> None:
    files = sorted(FOLDER.rglob("*.sql"))
    assert len(files) > len(FUNCTIONS) > 8
    for file in files:
        text = file.read_text("utf-8")
        assert not re.search(r"\{\{|\{%|\{#", text), file.name
        assert text.startswith("-- "), file.name


def test_nobody_else_searches() -> None:
    """A second search by the index would need its probes, its filters and its tests."""
    found = [
        file.stem
        for file in FUNCTIONS
        if re.search(r"order by \w+\.embedding operator", file.read_text("utf-8"))
    ]
    assert found == ["find_videos", "similar_users"]


def test_an_id_is_asked_for_as_it_is_stored() -> None:
    """A file cannot call the macro: its characters are written out."""
    text = (FOLDER / "functions/text_value.sql").read_text("utf-8")
    pieces = re.findall(r"(?m)^ {4}'(.*)',?$", text)
    # A text of Postgres has no U+0000.
    ranges = "".join(rf"\u{first or 1:04x}-\u{last:04x}" for first, last in INVISIBLE)
    assert "".join(pieces).removesuffix("', 'g") == f"^[{ranges}]+|[{ranges}]+$"


def test_an_event_is_refused_for_an_id_that_a_file_may_not_have() -> None:
    text = (FOLDER / "functions/recorded_user.sql").read_text("utf-8")
    (missing,) = re.findall(r"(?s)array\[(.*?)\n    \];", text)
    assert re.findall(r"'([^']*)'", missing) == list(MISSING)
    assert f"'{LOSS.replace('x{fffd}', 'ufffd')}'" in text
    assert f"char_length(person) > {MAX_ID} then" in text


def test_as_many_are_taken_as_were_measured() -> None:
    measured = (FOLDER / "statements/index_recall.sql").read_text("utf-8")
    taken = re.search(r"limit (\S+ \* )20\n", measured)
    assert taken is not None
    for name, wanted in (("find_videos", "(block_end - block_start)"), ("similar_users", "wanted")):
        text = (FOLDER / f"functions/{name}.sql").read_text("utf-8")
        assert taken[1].replace("::bigint", "") + wanted in text, name
