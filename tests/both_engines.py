"""One small sample in both engines, built by dbt: what the tests of the models' rows share."""

from pathlib import Path

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
        dbt.run(settings, "build")
    dbt.run(engines["duckdb"], "parse")  # for its manifest
    return engines


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
