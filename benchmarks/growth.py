"""How much each run adds to tables, folders and logs.

    python -m benchmarks.growth                               # eight runs on 60,000 reviews
    python -m benchmarks.growth --reviews 2000 --runs 2       # a small one

Runs in a scratch project on an embedded Postgres. Before each run but the first a file with 1 %
more reviews is delivered, so each run trains a model; three versions are kept, so old ones are
removed within the measurement. Sizes are of tables with their indexes, and of folders. See
docs/what-grows.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import random

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.harness import ROOT, result_file
from benchmarks.quality.scratch import Scratch, postgres, scratch_folder
from two_tower.database import embedded
from two_tower.interfaces.failures import guarded

KEPT = 3
SHARE = 100
TABLES = """
select format('%s.%s', n.nspname, c.relname), pg_total_relation_size(c.oid)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname in ('raw', 'two_tower', 'public')
"""
FOLDERS = {
    "runs/": "runs",
    "artifacts/": "registry",
    "logs/": "logs",
    "target/": "target-embedded",
    "data/postgres/pg_wal/": "pg/pg_wal",
    "data/postgres/log": "pg/log",
}

Sizes = dict[str, int]


def sizes(project: Scratch) -> Sizes:
    """Return bytes by name: of each table, of the database, of each folder."""
    with psycopg.connect(embedded.url(project.settings)) as connection:
        found = {str(name): int(size) for name, size in connection.execute(TABLES)}
        [[database]] = connection.execute("select pg_database_size(current_database())")
    found["the database"] = int(database)
    for name, folder in FOLDERS.items():
        path = project.folder / folder
        files = path.rglob("*") if path.is_dir() else [path]
        found[name] = sum(file.stat().st_size for file in files if file.is_file())
    return found


def deliver(project: Scratch, number: int, reviews: int) -> None:
    """Put a file of new reviews of known videos into the folder."""
    folder = project.settings.path(project.settings.data_dir)
    with (folder / "catalogue/videos.csv").open(encoding="utf-8") as file:
        pages = [row["product_url"] for row in csv.DictReader(file)]
    chance = random.Random(number)
    rows = [
        f"{chance.choice(pages)},weekly-{number}-{chance.randrange(reviews)},{chance.randint(1, 5)}"
        for _ in range(reviews)
    ]
    text = "\n".join(["product_url,reviewer_id,stars", *rows, ""])
    path = folder / f"reviews/dmm_reviews_weekly_{number}.csv"
    path.write_text(text, encoding="utf-8")


def measure(reviews: int, runs: int) -> list[Sizes]:
    """Return the sizes after each run."""
    with scratch_folder() as folder, postgres(folder / "p") as project:
        project.env |= {
            "TWO_TOWER_KEEP_VERSIONS": str(KEPT),
            "TWO_TOWER_TRAIN__EPOCHS": "2",
        }
        project.two_tower("sample-data", "--reviews", str(reviews))
        found = []
        for number in range(runs):
            if number:
                deliver(project, number, max(1, reviews // SHARE))
            project.two_tower("run")
            found.append(sizes(project))
    return found


def show(found: list[Sizes]) -> None:
    """Print what grew, the fastest growing first."""
    table = Table(title="kB, and what the later half of the runs added a run")
    for column in ("of", "after the first run", "after the last", "a run"):
        table.add_column(column, justify="left" if column == "of" else "right")
    growth = {name: a_run(found, name) for name in found[-1]}
    for name in sorted(growth, key=lambda name: -growth[name]):
        first, last = (each.get(name, 0) / 1000 for each in (found[0], found[-1]))
        table.add_row(name, f"{first:,.0f}", f"{last:,.0f}", f"{growth[name] / 1000:+,.1f}")
    Console(width=110).print(table)


def a_run(found: list[Sizes], name: str) -> float:
    """Return the bytes that a run adds, averaged over the later half of the runs."""
    half = found[(len(found) - 1) // 2 :]
    return (half[-1].get(name, 0) - half[0].get(name, 0)) / max(1, len(half) - 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reviews", type=int, default=60_000)
    parser.add_argument("--runs", type=int, default=8)
    given = parser.parse_args()
    found = measure(given.reviews, given.runs)
    show(found)
    path = result_file("growth.json")
    content = {
        "command": "python -m benchmarks.growth",
        "reviews": given.reviews,
        "kept_versions": KEPT,
        "bytes_after_each_run": found,
        "bytes_a_run": {name: round(a_run(found, name)) for name in sorted(found[-1])},
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    guarded(main)
