"""A build that would only repeat the former one is left out, and no other is."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

import conftest
from conftest import PROJECT_DIR
from forked import Forks
from postgres_server import PostgresServer
from two_tower.core.settings import Settings
from two_tower.data import sample_data
from two_tower.data.load import load
from two_tower.database import dbt
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.operations import former_build
from two_tower.operations.forget_user import forget

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("former_build")]

HEADER = "product_url,reviewer_id,stars,reviewed_at\n"
WITHOUT_UNIT_TESTS = ("build", "--exclude-resource-type", "unit_test")
numbers = itertools.count()
Copy = Callable[[], Settings]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def copy(
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    dbt_target: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Copy:
    """Makes another installation just after its first build: files and database, row by row."""
    first = tmp_path_factory.mktemp("former")
    sample_data.generate(first / "raw", reviews=2_000)
    if request.param == "postgres":
        dsn = postgres_server.prepare(f"former_{next(numbers)}")
        settings = conftest.make_settings("postgres", database_url=dsn, **conftest.folders(first))
    else:
        path = first / "warehouse.duckdb"
        settings = conftest.make_settings("duckdb", duckdb_path=path, **conftest.folders(first))
    build(settings)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("checkpoint" if request.param == "duckdb" else "select 1")

    def make() -> Settings:
        folder = tmp_path_factory.mktemp("copy")
        shutil.copytree(first / "raw", folder / "raw")
        changed: dict[str, Any] = conftest.folders(folder)
        if request.param == "postgres":
            name = f"former_{next(numbers)}"
            template = dsn.rsplit("/", 1)[1]
            postgres_server.as_superuser(f"create database {name} template {template} owner app")
            changed["database_url"] = postgres_server.dsn(name)
        else:
            changed["duckdb_path"] = shutil.copy(first / "warehouse.duckdb", folder)
        made: Settings = conftest.make_settings(request.param, **changed)
        return made

    return make


def build(settings: Settings, *arguments: str) -> dbt.Built:
    if settings.target != "duckdb":
        with open_warehouse(settings) as warehouse:
            load(settings, warehouse)
    return dbt.run(settings, *WITHOUT_UNIT_TESTS, *arguments)


def look(
    settings: Settings, variables: Mapping[str, Any] | None = None, *, with_unit_tests: bool = False
) -> former_build.Outlook:
    if settings.target != "duckdb":
        with open_warehouse(settings) as warehouse:
            load(settings, warehouse)
    return former_build.look(settings, variables or {}, with_unit_tests=with_unit_tests)


def tables(warehouse: Warehouse) -> dict[str, list[str]]:
    """The rows of every model that is no view, sorted."""
    names = warehouse.fetch(
        "select table_name as name from information_schema.tables where table_schema = 'two_tower'"
        " and table_type = 'BASE TABLE'"
    )
    models = {path.stem for path in (PROJECT_DIR / "models").rglob("*.sql")}
    return {
        row["name"]: sorted(
            rounded(found["r"])
            for found in warehouse.fetch(
                f"select cast(r as text) as r from two_tower.{row['name']} as r"
            )
        )
        for row in names
        if row["name"] in models
    }


def rounded(row: str) -> str:
    """The order of a sum is that of threads."""
    return re.sub(r"\d+\.\d{9,}", lambda found: f"{float(found[0]):.9g}", row)


def all_rows(settings: Settings) -> dict[str, list[str]]:
    with open_warehouse(settings) as warehouse:
        return tables(warehouse)


def deliver(settings: Settings, rows: int = 20) -> None:
    """One per cent of new reviews, dated before the latest."""
    with open_warehouse(settings) as warehouse:
        pages = warehouse.fetch("select product_url from raw.videos order by id limit 40")
    lines = [
        f"{pages[n % len(pages)]['product_url']},new{n % 7},{n % 5 + 1},2024-01-01\n"
        for n in range(rows)
    ]
    path = settings.path(settings.data_dir) / "reviews/dmm_reviews_new.csv"
    path.write_text(HEADER + "".join(lines), encoding="utf-8")


def test_what_is_left_out_is_what_a_full_build_would_make(copy: Copy) -> None:
    left, full = copy(), copy()
    before = all_rows(left)

    skipped, rebuilt = build(left), build(full, "--full-refresh")

    assert (skipped.models, skipped.tests_passed) == (0, 0)
    assert rebuilt.models > 60
    assert len(before) > 40
    assert all_rows(left) == before == all_rows(full)

    for settings in (left, full):
        deliver(settings)
    assert (build(left).models, build(full, "--full-refresh").models) == (rebuilt.models,) * 2
    assert all_rows(left) == all_rows(full) != before
    assert build(left).models == build(full).models == 0


def test_a_person_who_types_it_is_told(copy: Copy, forks: Forks) -> None:
    settings = copy()
    environment = conftest.environment(settings)

    typed = ["two-tower", "dbt", "--", *WITHOUT_UNIT_TESTS]
    done = forks.end(typed, environment, PROJECT_DIR)

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Nothing is new: .* Its \d\d models are left as they are", done.stdout)


def test_unit_tests_that_passed_on_this_sql_are_left_out(copy: Copy, dbt_target: Path) -> None:
    settings = copy()
    with open_warehouse(settings) as warehouse:
        warehouse.execute("update two_tower.whole_build set has_unit_tests = true")
    assert look(settings, with_unit_tests=True).repeats is not None
    deliver(settings)
    assert look(settings, with_unit_tests=True).repeats is None

    build_of_all = dbt.run(settings, "build")

    ran = json.loads((dbt_target / "run_results.json").read_text(encoding="utf-8"))["results"]
    assert build_of_all.models > 60
    assert {row["unique_id"].split(".")[0] for row in ran} >= {"model", "test"}
    assert [row for row in ran if row["unique_id"].startswith("unit_test.")] == []


def sql(statement: str) -> Callable[[Settings], None]:
    def change(settings: Settings) -> None:
        with open_warehouse(settings) as warehouse:
            warehouse.execute(statement)

    return change


def change_a_review(settings: Settings) -> None:
    path = min((settings.path(settings.data_dir) / "reviews").glob("*.csv"))
    text = path.read_text(encoding="utf-8-sig")
    path.write_text(re.sub(r"(?m),5(\.0)?,", ",1,", text, count=1), encoding="utf-8")


def add_a_video(settings: Settings) -> None:
    with (settings.path(settings.data_dir) / "catalogue/videos.csv").open("a") as file:
        file.write("ffffffff-0000-4000-8000-000000000001,New,,https://new.example/1,,,,,,\n")


def forget_somebody(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        rows = warehouse.fetch("select min(reviewer_id) as id from raw.reviews")
    forget(settings, rows[0]["id"])


def event(source: str) -> str:
    """One like, as the app records it or has it in a table of its own."""
    return (
        f"{source} select 'u' as user_id, id as video_id, 'like' as kind, cast(1 as real) as"
        " weight, timestamp '2024-01-01' as happened_at from raw.videos order by id limit 1"
    )


def run_a_part(settings: Settings) -> None:
    dbt.run(settings, "run", "--select", "popularity", "--vars", "{liked_from_stars: 5}")


CHANGES: dict[str, Callable[[Settings], None]] = {
    "a changed review": change_a_review,
    "new reviews": deliver,
    "a new video": add_a_video,
    "a forgotten person": forget_somebody,
    "a row of a source": sql(
        "update raw.tags set name = 'x' where id = (select min(id) from raw.tags)"
    ),
    "a removed row of a source": sql(
        "delete from raw.video_tags where tag_id = (select min(tag_id) from raw.video_tags)"
    ),
    "an event": sql(
        event("insert into two_tower.events (user_id, video_id, kind, weight, happened_at)")
    ),
    "a view of the app": sql(event("create view raw.app_events as")),
    "an evaluation": sql(
        "insert into two_tower.evaluation_runs (run_id, evaluated_at, split, layout_hash, users,"
        " videos, config) values ('r', timestamp '2024-01-01', 'random', 'h', 1, 1, '{}')"
    ),
    "a dropped table": sql("drop table two_tower.popularity"),
    "a changed row": sql("update two_tower.popularity set score = 0 where popularity_rank = 1"),
    "a changed array": sql(
        "update two_tower.user_features set liked_video_ids = null"
        " where user_id = (select min(user_id) from two_tower.user_features)"
    ),
    "a removed row": sql("delete from two_tower.popularity where popularity_rank = 1"),
    "a column more": sql("alter table two_tower.popularity add column mine integer"),
    "another view": sql(
        "create or replace view two_tower.stg_tags as"
        " select id as tag_id, cast('x' as text) as name from raw.tags"
    ),
    "a build of a part": run_a_part,
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(copy: Copy, what: str) -> None:
    settings = copy()
    assert look(settings).repeats is not None

    CHANGES[what](settings)

    assert look(settings).repeats is None


def test_other_vars_tests_or_sql_are_another_build(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copy()
    assert look(settings).repeats is not None
    assert look(settings, {"liked_from_stars": 3}).repeats is None
    assert look(settings, with_unit_tests=True).repeats is None

    monkeypatch.setattr(former_build, "sql_checksum", lambda settings: "other")

    assert look(settings).repeats is None
    assert not look(settings).has_unit_tests


def test_a_build_that_depends_on_the_clock_is_not_repeated(copy: Copy) -> None:
    """Which reviews count depends on the clock where one is dated ahead."""
    settings = copy()
    path = settings.path(settings.data_dir) / "reviews/dmm_reviews_ahead.csv"
    with open_warehouse(settings) as warehouse:
        (video,) = warehouse.fetch("select product_url from raw.videos order by id limit 1")
        (now,) = warehouse.fetch("select cast(current_timestamp as date) + 1 as tomorrow")
    path.write_text(f"{HEADER}{video['product_url']},u,5,{now['tomorrow']}\n", encoding="utf-8")

    built = build(settings)

    assert built.models > 60
    assert look(settings).repeats is None


def test_of_a_source_that_is_read_in_part_nothing_is_known(
    postgres_server: PostgresServer,
) -> None:
    dsn = postgres_server.prepare(f"former_{next(numbers)}")
    with psycopg.connect(dsn) as connection:
        connection.execute("create schema two_tower; create table two_tower.known (name text)")
        function = (PROJECT_DIR / "sql/functions/rows_of.sql").read_text(encoding="utf-8")
        connection.execute(function.encode())
        asked = "select two_tower.rows_of('{two_tower.known}', '{}')"

        def twice() -> int:
            return len({connection.execute(asked).fetchone() for _ in range(2)})

        assert twice() == 1
        connection.execute("revoke select on two_tower.known from current_user")
        assert twice() == 2
