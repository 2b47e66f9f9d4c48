"""Figures as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

OURS = "two_tower"
TITLES = {
    OURS: "two-tower, through Postgres",
    "oracle": "oracle (knows the true tastes)",
    "random": "random",
    "popularity": "popularity",
    "item_knn": "item-kNN",
    "content_knn": "content-kNN",
    "ease": "EASE",
    "ease_all": "EASE, likes + reviews + content",
    "ials": "iALS (Rendle 2021), d=128",
    "als": "implicit ALS",
    "bpr": "implicit BPR",
    "lightfm": "LightFM WARP",
    "lightfm_features": "LightFM WARP, with features",
}
COLUMNS = ("recall@20", "recall@50", "ndcg@10", "ndcg@100", "mrr", "coverage@20")


@dataclass(frozen=True)
class Figure:
    """What one model reached on one split.

    Attributes:
        dataset, protocol: what was measured.
        view: which lists, where a protocol has several.
        seed: the var ``split_seed``.
        model: its name.
        users: over which the metrics are means.
        metrics: by name.
        train_seconds: of the fit on all training reviews; ours: all of `two-tower train`.
        search_seconds: of choosing the peer's hyper-parameters.
        parameters: the chosen ones.
        validation: the metric that chose them.
        measured_at: UTC.
    """

    dataset: str
    protocol: str
    view: str
    seed: str
    model: str
    users: int
    metrics: dict[str, float]
    train_seconds: float | None = None
    search_seconds: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    validation: float | None = None
    measured_at: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )


def show(figures: list[Figure], notes: dict[str, str]) -> None:
    """Print a table a data set, protocol and view: the mean over the seeds and its spread.

    Args:
        figures: of any number of seeds.
        notes: what each protocol asks.
    """
    for dataset, protocol, view in dict.fromkeys((f.dataset, f.protocol, f.view) for f in figures):
        shown = [f for f in figures if (f.dataset, f.protocol, f.view) == (dataset, protocol, view)]
        seeds = len({figure.seed for figure in shown})
        users = {figure.users for figure in shown if figure.model == OURS}
        title = f"{dataset}, {protocol} ({notes[protocol]}), {view}"
        table = Table(title=title, title_justify="left")
        spread = (
            f"mean of {seeds} split seeds ± standard deviation" if seeds > 1 else "1 split seed"
        )
        table.caption = f"{spread}; {' to '.join(map(str, sorted({min(users), max(users)})))} users"
        table.add_column("model")
        for column in (*COLUMNS, "train s", "search s"):
            table.add_column(column, justify="right")
        for model, rows in _by_model(shown):
            cells = [_cell([row.metrics.get(column) for row in rows]) for column in COLUMNS]
            table.add_row(
                TITLES[model],
                *cells,
                _seconds([row.train_seconds for row in rows]),
                _seconds([row.search_seconds for row in rows]),
                style="bold" if model == OURS else None,
            )
        Console(width=150).print(table)


def save(path: Path, figures: list[Figure]) -> None:
    """Write the figures; those of other data sets and protocols stay in the file.

    Args:
        path: the JSON file.
        figures: everything measured by this run so far.
    """
    measured = {(figure.dataset, figure.protocol) for figure in figures}
    kept: list[dict[str, Any]] = []
    if path.exists():
        before = json.loads(path.read_text("utf-8"))["figures"]
        kept = [row for row in before if (row["dataset"], row["protocol"]) not in measured]
    content = {
        "command": "python -m benchmarks.quality " + " ".join(sys.argv[1:]),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "note": "means over users; mrr counts a best target behind place 100 as 0",
        "figures": [*kept, *(asdict(figure) for figure in figures)],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _by_model(figures: list[Figure]) -> list[tuple[str, list[Figure]]]:
    """Return the figures of each model, the best NDCG@10 first."""
    models = dict.fromkeys(figure.model for figure in figures)
    rows = [(model, [f for f in figures if f.model == model]) for model in models]
    return sorted(rows, key=lambda row: -np.mean([f.metrics["ndcg@10"] for f in row[1]]))


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean = f"{np.mean(known):.3f}".removeprefix("0")
    if len(known) < 2:
        return mean
    return f"{mean} ±{f'{np.std(known, ddof=1):.3f}'.removeprefix('0')}"


def _seconds(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.1f}" if known else ""
