"""The whole way of ever larger sites: is each released, how good are its lists, how long it takes.

    python -m benchmarks.people                                # hours, and 60 GB of disk
    python -m benchmarks.people --people 2000                  # the sample's size, in minutes
    python -m benchmarks.people --people 500000 --videos 100000

Generated data with 30 reviews a person, on an embedded Postgres, by the commands that a team types
and with every default. NDCG@100 is what `two-tower evaluate` finds on the held-out fifth; its share
is of what the oracle reaches, which knows every taste. Memory is that of the command's largest
process, without the server's. Sizes that are not asked for keep their figures in people.json.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import Timed, result_file
from benchmarks.quality import data
from benchmarks.quality.scratch import Scratch, postgres, scratch_folder
from two_tower.artifacts.runs import find_run
from two_tower.core.files import read_json
from two_tower.data.sample_data import generate

SIZES = (2_000, 35_000, 100_000, 500_000)
REVIEWS_EACH = 30
METRIC = "ndcg@100"
COMMANDS = ("train", "evaluate", "export", "embed", "release")


def measure(project: Scratch, people: int, videos: int | None) -> dict[str, Any]:
    """Walk the whole way; return the figures of a size. A command that fails ends the program."""
    folder = project.settings.path(project.settings.data_dir)
    found = generate(folder, people * REVIEWS_EACH, videos=videos)
    steps = {
        "load": project.two_tower("load"),
        "build": project.dbt("build", "--exclude-resource-type", "unit_test"),
        **{name: project.two_tower(name) for name in COMMANDS},
    }
    metrics: Any = read_json(find_run(project.settings) / "metrics.json")
    best = data.oracle(project)[METRIC]
    value = metrics["metrics"]["two_tower"]["overall"][METRIC]
    return {
        "people": people,
        "videos": found.videos,
        "reviews": found.reviews,
        METRIC: value,
        "of the oracle": value / best,
        "steps": {name: _row(step) for name, step in steps.items()},
    }


def _row(step: Timed) -> dict[str, float]:
    return {"seconds": round(step.seconds, 1), "peak_mib": round(step.peak_mib)}


def keep(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Write a size into people.json; return all that are there."""
    path = result_file("people.json")
    found: Any = read_json(path) or {"sizes": []}
    others = [each for each in found["sizes"] if each["people"] != row["people"]]
    rows = sorted([*others, row], key=lambda each: each["people"])
    path.write_text(json.dumps({"sizes": rows}, indent=1) + "\n", encoding="utf-8")
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print a row a size."""
    table = Table(title="released")
    for name in ("people", "videos", "reviews", METRIC, "of the oracle", "train s", "train MiB"):
        table.add_column(name, justify="right")
    for row in rows:
        sizes = [f"{row[name]:,}" for name in ("people", "videos", "reviews")]
        train = row["steps"]["train"]
        seconds, memory = f"{train['seconds']:,.0f}", f"{train['peak_mib']:,.0f}"
        quality = f"{row[METRIC]:.4f}", f"{row['of the oracle']:.1%}"
        table.add_row(*sizes, *quality, seconds, memory)
    Console(width=120).print(table)


def main() -> None:
    """Measure the sizes that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, nargs="+", default=SIZES)
    parser.add_argument("--videos", type=int, help="default: follows from the reviews")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for people in arguments.people:
        with scratch_folder() as folder, postgres(folder / "p") as project:
            rows = keep(measure(project, people, arguments.videos))
    show(rows)


if __name__ == "__main__":
    main()
