"""What `two-tower train --novelty` trades: NDCG@10 against novelty, coverage and popularity lift.

    python -m benchmarks.novelty
    python -m benchmarks.novelty --dataset data/raw --values 0 0.3     # on your own data

By default MovieLens-100k: one split, one model per value, each measured on the held-out
likes by `two-tower evaluate`. Writes results/novelty.json and results/novelty.svg.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks.harness import result_file
from benchmarks.quality import data
from benchmarks.quality.scratch import Scratch, scratch_folder
from two_tower.evaluation import plots

VALUES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
# Plots take their colours from the page around them; a standalone SVG file has none.
COLOURS = "--first: #2266cc; --line: #dde3e9; --muted: #5a6773; background: #ffffff"
TRADED = ("ndcg@10", "recall@20", "novelty", "coverage", "popularity_lift", "diversity")


def measure(project: Scratch, value: float) -> dict[str, float]:
    """Train and evaluate at one value."""
    project.two_tower("train", "--novelty", str(value))
    output = project.two_tower("evaluate", "--json").output
    answer: dict[str, Any] = json.loads(output[output.index("{") :])
    found = answer["metrics"]["two_tower"]["overall"]
    return {"power": value, **{name: float(found[name]) for name in TRADED}}


def main() -> None:
    """Measure all values and draw the curve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=data.named, default="ml-100k")
    parser.add_argument("--values", type=float, nargs="+", default=VALUES, help="of --novelty")
    given = parser.parse_args()
    with scratch_folder() as folder:
        project = Scratch(folder, "duckdb")
        data.write(given.dataset, project)
        project.two_tower("load")
        project.dbt("run")
        rows = [measure(project, value) for value in given.values]
    result_file("novelty.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    drawing = plots.trade_off("novelty", rows).replace("<svg ", f'<svg style="{COLOURS}" ', 1)
    result_file("novelty.svg").write_text(drawing, encoding="utf-8")
    print(" ".join(f"{name:>16}" for name in ("power", *TRADED)))
    for row in rows:
        print(" ".join(f"{row[name]:16.4f}" for name in ("power", *TRADED)))


if __name__ == "__main__":
    main()
