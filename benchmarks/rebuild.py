"""What a `dbt build` costs where little or nothing is new, beside the first build of the same run.

    python -m benchmarks.rebuild                             # 100k and 1M reviews, both engines
    python -m benchmarks.rebuild --sizes 5000000 --engines duckdb
    python -m benchmarks.rebuild --sizes 2000 --rounds 1     # a small one

After the first build come rounds of: nothing new, 1 % new reviews, and all of it on request
(`--full-refresh`). On DuckDB a build loads the files too; on Postgres `load` is not counted. Where
the time goes: seconds of dbt's two threads in models and tests, from its run_results.json; what
neither thread took is start-up, parsing and hooks.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from pathlib import Path

from benchmarks.growth import deliver
from benchmarks.harness import Figure, Timed, report
from benchmarks.quality.scratch import Scratch, postgres, scratch_folder
from two_tower.interfaces.failures import guarded

NOTHING, NEWS, FULL = "nothing new", "1 % new reviews", "nothing new, --full-refresh"
FIRST = "first build"
Row = dict[str, object]


def build(project: Scratch, *arguments: str) -> Timed:
    """Build everything, on Postgres after a load that is not counted."""
    if project.settings.target != "duckdb":
        project.two_tower("load")
    return project.two_tower("dbt", "build", *arguments)


def where(project: Scratch, size: int, engine: str, stage: str, done: Timed) -> Row:
    """Return where the time of the build that just ended went."""
    path = Path(project.env["DBT_TARGET_PATH"]) / "run_results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    spent = Counter[str]()
    for result in results["results"]:
        spent[result["unique_id"].split(".")[0]] += result["execution_time"]
    kinds = ("model", "test", "unit_test")
    taken = {f"{kind}s": round(spent[kind], 1) for kind in kinds}
    running = round(results["elapsed_time"], 1)
    seconds = round(done.seconds, 1)
    return {"size": size, "engine": engine, "build": stage, "seconds": seconds} | {
        "of these running": running,
        **taken,
    }


def measure(project: Scratch, size: int, rounds: int) -> tuple[list[Figure], list[Row]]:
    """Return the medians of each kind of build, and where the time went in the last of each."""
    engine = "DuckDB" if project.settings.target == "duckdb" else "Postgres"
    project.two_tower("sample-data", "--reviews", str(size))
    first = build(project)
    profile = [where(project, size, engine, FIRST, first)]
    timed: dict[str, list[Timed]] = {NOTHING: [], NEWS: [], FULL: []}
    for number in range(1, rounds + 1):
        timed[NOTHING].append(build(project))
        deliver(project, number, max(1, size // 100))
        timed[NEWS].append(build(project))
        news = where(project, size, engine, NEWS, timed[NEWS][-1])
        timed[FULL].append(build(project, "--full-refresh"))
    profile.append(news)
    figures = [Figure(size, f"{engine}: {FIRST}", size, first.seconds, first.peak_mib)]
    for stage, runs in timed.items():
        figures.append(
            Figure(
                size,
                f"{engine}: {stage}",
                size,
                statistics.median(run.seconds for run in runs),
                max(run.peak_mib for run in runs),
                FIRST,
                first.seconds,
            )
        )
    return figures, profile


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
