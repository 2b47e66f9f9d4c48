"""What a `dbt build` costs where little or nothing is new, beside the first build of the same run.

    python -m benchmarks.rebuild                             # 100k and 1M reviews, both engines
    python -m benchmarks.rebuild --sizes 5000000 --engines duckdb
    python -m benchmarks.rebuild --sizes 2000 --rounds 1     # a small one

After the first build come rounds of a build of nothing new and one of 1 % new reviews. On DuckDB a
build loads the files too; on Postgres `load` is not counted. Where the time goes: CPU seconds of
dbt's process (on Postgres the server has its own), and what dbt's two threads took, from its
run_results.json: what neither of them took is start-up, parsing and hooks.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
from dataclasses import dataclass
from pathlib import Path

from benchmarks.growth import deliver
from benchmarks.harness import Figure, Timed, report
from benchmarks.quality.scratch import Scratch, postgres, scratch_folder
from two_tower.interfaces.failures import guarded

NOTHING, NEWS = "nothing new", "1 % new reviews"
FIRST = "first build"
Row = dict[str, object]


@dataclass(frozen=True)
class Build:
    """One `dbt build`: wall seconds and peak memory, CPU seconds, seconds of threads by kind."""

    timed: Timed
    cpu: float
    spent: dict[str, float]


def build(project: Scratch) -> Build:
    """Build everything, on Postgres after a load that is not counted."""
    if project.settings.target != "duckdb":
        project.two_tower("load")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = project.two_tower("dbt", "build")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    path = Path(project.env["DBT_TARGET_PATH"]) / "run_results.json"
    spent: dict[str, float] = {}
    for result in json.loads(path.read_text(encoding="utf-8"))["results"]:
        kind = result["unique_id"].split(".")[0]
        spent[kind] = spent.get(kind, 0) + result["execution_time"]
    return Build(done, cpu, spent)


def row(size: int, engine: str, stage: str, built: Build, first: Build) -> Row:
    """Return where the time of a build went; one that was left out has no threads."""
    threads = {} if stage == NOTHING else built.spent
    shown = {f"{kind}s": round(threads.get(kind, 0), 1) for kind in ("model", "test", "unit_test")}
    return {
        "size": size,
        "engine": engine,
        "build": stage,
        "seconds": round(built.timed.seconds, 1),
        "CPU s": round(built.cpu, 1),
        "of the first's CPU": round(built.cpu / first.cpu, 3),
        **shown,
    }


def measure(project: Scratch, size: int, rounds: int) -> tuple[list[Figure], list[Row]]:
    """Return the medians of each kind of build, and where the time went in the last of each."""
    engine = "DuckDB" if project.settings.target == "duckdb" else "Postgres"
    project.two_tower("sample-data", "--reviews", str(size))
    first = build(project)
    found: dict[str, list[Build]] = {NOTHING: [], NEWS: []}
    for number in range(1, rounds + 1):
        found[NOTHING].append(build(project))
        deliver(project, number, max(1, size // 100))
        found[NEWS].append(build(project))
    rows = [row(size, engine, FIRST, first, first)]
    figures = [Figure(size, f"{engine}: {FIRST}", size, first.timed.seconds, first.timed.peak_mib)]
    for stage, runs in found.items():
        seconds = statistics.median(run.timed.seconds for run in runs)
        peak = max(run.timed.peak_mib for run in runs)
        name = f"{engine}: {stage}"
        figures.append(Figure(size, name, size, seconds, peak, FIRST, first.timed.seconds))
        rows.append(row(size, engine, stage, runs[-1], first))
    return figures, rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--engines", nargs="+", default=["duckdb", "postgres"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    figures, profiles = [], []
    for size in given.sizes:
        for engine in given.engines:
            with scratch_folder() as folder:
                if engine == "duckdb":
                    found, profile = measure(Scratch(folder, "duckdb"), size, given.rounds)
                else:
                    with postgres(folder / "p") as project:
                        found, profile = measure(project, size, given.rounds)
            figures += found
            profiles += profile
    report("rebuild", figures, where_the_time_goes=profiles)


if __name__ == "__main__":
    guarded(main)
