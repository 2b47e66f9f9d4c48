"""One small sample in both engines, built by dbt: what the tests of the models' rows share."""

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import conftest
from postgres_server import PostgresServer
from two_tower.core.settings import Settings
from two_tower.data import sample_data
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import Warehouse, open_warehouse

SAMPLE_REVIEWS = 3_000

EVALUATION_RUNS = [
    ("20240101_000000", "2024-01-01 00:00:00", "random", "hash", 120, 300, "{}"),
    ("20240108_000000", "2024-01-08 00:00:00", "random", "hash", 130, 310, "{}"),
]
EVALUATION_METRICS = [
    ("20240101_000000", "two_tower", "all", "recall@20", 0.20, 120),
    ("20240101_000000", "popularity", "all", "recall@20", 0.10, 120),
    ("20240108_000000", "two_tower", "all", "recall@20", 0.25, 130),
    ("20240108_000000", "two_tower", "cold", "recall@20", 0.05, 40),
    ("20240108_000000", "two_tower", "all", "coverage", None, 130),
    ("20240108_000000", "popularity", "all", "recall@20", 0.10, 130),
    ("20240108_000000", "popularity", "cold", "recall@20", 0.0, 40),
]


def build_both(server: PostgresServer, folder: Path) -> dict[str, Settings]:
    """Build a DuckDB file and a Postgres database from one sample; return their settings."""
    sample_data.generate(folder / "raw", reviews=SAMPLE_REVIEWS)
    say_something(folder / "raw/catalogue")
    # A database of its own: the tests that empty the session's leave it alone.
    dsn = server.prepare("both_engines")
    paths = conftest.folders(folder)
    engines = {
        "duckdb": conftest.make_settings(
            "duckdb", duckdb_path=folder / "warehouse.duckdb", **paths
        ),
        "postgres": conftest.make_settings(
            "postgres",
            database_url=dsn,
            **paths,
        ),
    }
    for settings in engines.values():
        with open_warehouse(settings) as warehouse:
            ddl.ensure_all(warehouse)
            load(settings, warehouse)
            insert_evaluation(warehouse)
        # The first command makes the tables that the app writes to.
        dbt.run(settings, "run", "--select", "stg_tags")
        with open_warehouse(settings) as warehouse:
            insert_events(warehouse)
        dbt.run(settings, "build")
    dbt.run(engines["duckdb"], "parse")  # for its manifest
    return engines


def say_something(catalogue: Path) -> None:
    """Write what people say of themselves: a language, and of every third two interests."""
    with (catalogue / "users.csv").open(encoding="utf-8-sig") as file:
        people = [row["id"] for row in csv.DictReader(file)]
    said = [
        (person, *pair)
        for number, person in enumerate(people)
        for pair in (
            ("language", ("日本語", "English", "Ünïcode")[number % 3]),
            *([("interest", "travel"), ("interest", "食")] if number % 3 == 0 else []),
            *([("alone", "x")] if number == 0 else []),
        )
    ]
    lines = "".join(",".join(row) + "\n" for row in said)
    (catalogue / "user_categories.csv").write_text(f"user_id,category,value\n{lines}", "utf-8")


def insert_events(warehouse: Warehouse) -> None:
    """Insert what an app would have recorded, and the view of what it had before."""
    videos = [
        row["id"] for row in warehouse.fetch("select id from raw.videos order by id limit 40")
    ]
    users = [
        row["reviewer_id"]
        for row in warehouse.fetch(
            "select distinct reviewer_id from raw.reviews order by 1 limit 5"
        )
    ]
    users += ["app_user_1", "app_user_2", "app_user_3"]
    rows = warehouse.fetch("select max(reviewed_at) as latest from raw.reviews")
    now: datetime = rows[0]["latest"]
    events: list[tuple[Any, ...]] = []

    def add(user: int, video: Any, kind: str, ago: timedelta, *said: Any) -> None:
        said = said or (None, None, None)
        variant = ("treatment", "control")[user % 2]
        events.append((users[user], str(video), kind, *said, "e", variant, now - ago))

    for user in range(len(users)):
        for days in (2, 12):
            shown = videos[user : user + 5]
            at = timedelta(days=days, minutes=user)
            for rank, video in enumerate(shown, 1):
                add(user, video, "impression", at, None, rank, ("model", "popular")[user % 3 // 2])
            add(user, shown[user % 5], "click", at - timedelta(minutes=1))
        add(user, videos[user], "like", timedelta(days=1, hours=23))
        add(user, videos[user + 1], "dislike", timedelta(days=1))
        add(user, videos[user + 2], "view", timedelta(days=1), 0.3, None, None)
        add(user, videos[user + 3], "view", timedelta(days=1))
    add(0, UUID(int=1), "like", timedelta(days=1))
    numbered = [(number, *event) for number, event in enumerate(events, 1)]
    # Numbered by hand: both engines hold the same.
    override = " overriding system value" if warehouse.dialect == "postgres" else ""
    for event in numbered:
        warehouse.execute(
            "insert into two_tower.events (event_id, user_id, video_id, kind, weight, rank, source,"
            f" experiment, variant, happened_at){override}"
            " values (?, ?, cast(? as uuid), ?, ?, ?, ?, ?, ?, cast(? as timestamp))",
            event,
        )
    warehouse.execute(
        "create table raw.likes as select * from (values"
        f" (' old_user', cast('{videos[20]}' as uuid), timestamp '2024-01-01 00:00:00'),"
        f" ('old_user', cast('{videos[21]}' as uuid), null)) as l (user_id, video_id, created_at)"
    )
    warehouse.execute(
        "create view raw.app_events as"
        " select user_id, video_id, 'like' as kind, cast(null as real) as weight, created_at as"
        " happened_at from raw.likes union all"
        " select user_id, video_id, 'wish', cast(null as real), created_at from raw.likes"
    )


def insert_evaluation(warehouse: Warehouse) -> None:
    """Insert what two evaluations would have written."""
    for run in EVALUATION_RUNS:
        warehouse.execute(
            "insert into two_tower.evaluation_runs (run_id, evaluated_at, split, layout_hash,"
            " users, videos, config) values (?, cast(? as timestamp), ?, ?, ?, ?, ?)",
            run,
        )
    for metric in EVALUATION_METRICS:
        warehouse.execute(
            "insert into two_tower.evaluation_metrics (run_id, model, slice, metric, value, users)"
            " values (?, ?, ?, ?, ?, ?)",
            metric,
        )
