"""Data and features: `dbt build` and its SQL beside polars and pandas, on the same CSV files.

    make bench-features                                           # 100k, 1M and 5M reviews
    python -m benchmarks.features --sizes 25000000 --runs 1       # hours, and much memory
    python -m benchmarks.features --sizes 1000 --runs 1           # a small one

In each round, in turns: `dbt build` from nothing (it loads the files, builds every model and runs
every test), the compiled SQL of the tables below and of all they are made from, and the scripts of
`features_peers/`, which write the same tables as Parquet. The SQL begins with loaded rows, so it is
beside what a script takes after reading. The tables of the scripts are compared with ours: number
of rows, and each row of a tenth of the keys. At the sizes of `--postgres` the same SQL runs on an
embedded Postgres in turns with DuckDB. Sizes that are not asked for keep their figures.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import duckdb

from benchmarks.bare_sql import compiled_models, elsewhere, execute
from benchmarks.comparison import ROW, Comparison, with_kept
from benchmarks.harness import report, timed
from benchmarks.quality.scratch import Scratch, postgres, scratch_folder
from two_tower.database import embedded

# Each table and its key.
TABLES = {
    "interactions": "user_id",
    "interaction_splits": "user_id",
    "users": "user_id",
    "popularity": "video_id",
    "item_features": "video_id",
    "user_features": "user_id",
    "training_user_features": "user_id",
    **{
        f"vocab_{name}": "token"
        for name in ("source", "maker", "label", "series", "tag", "performer", "release_year")
    },
    "vocab_title_token": "token",
    "vocab_video": "token",
}
SQL = "their SQL"
BUILD = "dbt build"
LARGE = 5_000_000
# What `dbt build` may take of polars at most, by size; its SQL may take no more than polars.
GOALS = {5_000_000: 1.5, 25_000_000: 1.2}
POSTGRES_GOAL = 1.5
DIGITS = 9  # of floating-point numbers: a tool may multiply by 1/5 where another divides by 5


def difference(database: Path, folder: Path, share: int = 10) -> str:
    """Compare a script's tables with ours; return what differs first, or an empty text.

    Args:
        database: the DuckDB file of ours.
        folder: Parquet files, one a table.
        share: the rows of one of so many keys are compared; the number of rows always is.
    """
    with duckdb.connect(str(database), read_only=True) as connection:

        def one(query: str) -> int:
            return int(connection.execute(query).fetchall()[0][0])

        for table, key in TABLES.items():
            ours, theirs = f"two_tower.{table}", f"'{folder / table}.parquet'"
            counts = [one(f"select count(*) from {name}") for name in (ours, theirs)]
            if counts[0] != counts[1]:
                return f"{table} has {counts[0]:,} rows, the script's {counts[1]:,}"
            types = {row[0]: row[1] for row in connection.execute(f"describe {ours}").fetchall()}
            columns = [row[0] for row in connection.execute(f"describe from {theirs}").fetchall()]
            shown = ", ".join(_comparable(column, types[column]) for column in columns)
            sample = f"where hash({key}::varchar) % {share} = 0"
            lacking = one(
                f"select count(*) from (select {shown} from {ours} {sample}"
                f" except all select {shown} from {theirs} {sample})"
            )
            if lacking:
                return f"{table}: {lacking:,} of the compared rows differ"
    return ""


def _comparable(column: str, kind: str) -> str:
    value = f'cast("{column}" as {kind})'
    if kind == "DOUBLE":
        return f"round({value}, {DIGITS})"
    if kind == "DOUBLE[]":
        return f"list_transform({value}, lambda each: round(each, {DIGITS}))"
    return value


class Bench:
    """One size on DuckDB, in a scratch folder."""

    def __init__(self, size: int, folder: Path, peers: list[str]) -> None:
        self.size = size
        self.peers = peers
        self.project = Scratch(folder, "duckdb")
        self.data = self.project.settings.path(self.project.settings.data_dir)
        self.database = self.project.settings.path(self.project.settings.duckdb_path)
        self.seconds: dict[str, list[float]] = {}
        self.peaks: dict[str, float] = {}
        self.project.two_tower("sample-data", "--reviews", str(size))

    def keep(self, name: str, seconds: float, peak_mib: float) -> None:
        """Note one measurement."""
        print(f"  {self.size:,}: {name} {seconds:.2f} s, {peak_mib:,.0f} MiB", flush=True)
        self.seconds.setdefault(name, []).append(seconds)
        self.peaks[name] = max(peak_mib, self.peaks.get(name, 0))

    def build(self) -> None:
        """Measure `dbt build` from nothing."""
        self.database.unlink(missing_ok=True)
        done = self.project.two_tower("dbt", "build")
        self.keep(BUILD, done.seconds, done.peak_mib)

    def round(self) -> None:
        """Measure the SQL and each script once, and compare the tables."""
        self.keep(SQL, *elsewhere(execute, str(self.database), self.statements()))
        for name in self.peers:
            out = self.project.folder / name
            script = ["-m", f"benchmarks.features_peers.with_{name}", str(self.data), str(out)]
            done = timed([sys.executable, *script], self.project.env)
            self.keep(name, done.seconds, done.peak_mib)
            self.keep(f"{name} after reading", float(done.output.split()[-1]), done.peak_mib)
            differs = difference(self.database, out)
            shutil.rmtree(out)
            if differs:
                sys.exit(f"{self.size:,} reviews, {name}: {differs}")

    def statements(self) -> list[str]:
        """Return the SQL of the tables, compiled for DuckDB."""
        return compiled_models(Path(self.project.env["DBT_TARGET_PATH"]), TABLES)

    def rows(self) -> list[ROW]:
        """Return ours beside each peer."""
        found = []
        for name in self.peers:
            is_first = name == "polars"
            found.append(self.beside(BUILD, name, GOALS.get(self.size) if is_first else None))
            found.append(self.beside(SQL, f"{name} after reading", 1.0 if is_first else None))
        return [*found, self.beside(BUILD, SQL, None)]

    def beside(self, ours: str, other: str, goal: float | None) -> ROW:
        """Return a comparison of two that were measured."""
        return Comparison(
            self.size,
            ours,
            other,
            self.seconds[ours],
            self.seconds[other][: len(self.seconds[ours])],
            self.peaks[ours],
            self.peaks[other],
            goal,
        ).row()


def on_postgres(bench: Bench, runs: int) -> ROW:
    """Run the same SQL on both engines in turns, on the same rows."""
    seconds: dict[str, list[float]] = {"postgres": [], "duckdb": []}
    with postgres(bench.project.folder / "p") as project:
        shutil.copytree(bench.data, project.settings.path(project.settings.data_dir))
        project.two_tower("load")
        project.dbt("build", "--exclude-resource-type", "unit_test", "test")
        statements = compiled_models(Path(project.env["DBT_TARGET_PATH"]), TABLES)
        for _ in range(runs):
            measured = [
                ("postgres", embedded.url(project.settings), statements),
                ("duckdb", str(bench.database), bench.statements()),
            ]
            for name, place, each in measured:
                taken, _ = elsewhere(execute, place, each)
                print(f"  {bench.size:,}: SQL on {name} {taken:.2f} s", flush=True)
                seconds[name].append(taken)
    return Comparison(
        bench.size,
        "their SQL on Postgres",
        "on DuckDB",
        seconds["postgres"],
        seconds["duckdb"],
        goal=POSTGRES_GOAL,
    ).row()


def main() -> None:
    """Measure the sizes given on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, LARGE])
    parser.add_argument("--postgres", type=int, nargs="*", default=[1_000_000], metavar="SIZE")
    parser.add_argument("--peers", nargs="*", default=["polars", "pandas"])
    parser.add_argument("--runs", type=int, help="default: 5, and 1 from 5M reviews on")
    parser.add_argument("--builds", type=int, help="rounds with a `dbt build`; default: all")
    given = parser.parse_args()
    for size in given.sizes:
        runs = given.runs or (1 if size >= LARGE else 5)
        with scratch_folder() as folder:
            bench = Bench(size, folder, given.peers)
            for number in range(runs):
                if number < (given.builds or runs):
                    bench.build()
                bench.round()
            rows = bench.rows()
            if size in given.postgres:
                rows.append(on_postgres(bench, runs))
        report("features", [], comparisons=with_kept("features", "comparisons", rows))


if __name__ == "__main__":
    main()
