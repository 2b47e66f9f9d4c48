"""Measure a model on the held-out likes, beside popularity and item-kNN: ``two-tower evaluate``.

Each held-out user's features come from training reviews alone; every video that the user did not
review in training is ranked; the targets are the held-out likes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from two_tower import tables
from two_tower.baselines import ItemKNN, Popularity, read_likes
from two_tower.errors import InputError
from two_tower.evaluation_report import Evaluation, write_report
from two_tower.heldout import MAX_USERS, Batch, count_users, read_catalogue, read_users
from two_tower.layout import read_layout
from two_tower.progress import bar
from two_tower.ranking import OVERALL, Metrics, Tally
from two_tower.runs import find_run, read_json
from two_tower.settings import Settings
from two_tower.towers import Towers, load_towers
from two_tower.warehouse import Warehouse, open_warehouse

TWO_TOWER = "two_tower"


@dataclass(frozen=True)
class EvaluationResult:
    """What was measured.

    Attributes:
        version: the model's.
        split: ``random`` or ``temporal``.
        users: held-out users that were ranked for.
        metrics: model -> slice -> metric; a slice without users is left out, a metric that is not
            defined for a slice is None or left out.
        report: the HTML report.
        seconds: how long it took.
    """

    version: str
    split: str
    users: int
    metrics: dict[str, dict[str, Metrics]]
    report: Path
    seconds: float


def evaluate(settings: Settings, version: str | None = None) -> EvaluationResult:
    """Evaluate a trained model, by default the newest.

    Writes ``metrics.json`` and ``report.html`` into the run's folder, and the rows of the run in
    ``evaluation_runs`` and ``evaluation_metrics`` anew.

    Raises:
        InputError: no such version, or the features are no longer those of the model.
        NotEnoughDataError: no model, no dbt build, or no held-out like.
        UnavailableError: the database cannot be reached.
    """
    started = time.perf_counter()
    run = find_run(settings, version)
    towers = load_towers(run / "towers.pt")
    with open_warehouse(settings) as warehouse:
        evaluation = _measure(warehouse, towers, run, settings)
        _write_rows(warehouse, evaluation)
    text = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False)
    (run / "metrics.json").write_text(text + "\n", encoding="utf-8")
    report = write_report(run, evaluation)
    return EvaluationResult(
        version=evaluation.version,
        split=evaluation.split,
        users=evaluation.users[OVERALL],
        metrics=evaluation.metrics,
        report=report,
        seconds=round(time.perf_counter() - started, 2),
    )


def _measure(warehouse: Warehouse, towers: Towers, run: Path, settings: Settings) -> Evaluation:
    held_out = count_users(warehouse)
    layout = read_layout(warehouse)
    if layout.layout_hash != towers.layout.layout_hash:
        raise InputError(
            f"model {run.name} was trained on other features (layout {towers.layout.layout_hash})"
            f" than the database has now (layout {layout.layout_hash})",
            "two-tower train makes a model of today's features",
        )
    catalogue, vectors = read_catalogue(warehouse, towers)
    tallies = _rank(warehouse, towers, vectors, Tally(catalogue), held_out)
    results = {name: tally.results() for name, tally in tallies.items()}
    data = warehouse.fetch(
        "select (select count(*) from two_tower.interactions) as interactions,"
        " (select count(*) from two_tower.training_users) as training_users,"
        " as_of, train_as_of from two_tower.int_as_of"
    )[0]
    return Evaluation(
        version=run.name,
        split="random" if data["train_as_of"] == data["as_of"] else "temporal",
        evaluated_at=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        layout_hash=towers.layout.layout_hash,
        videos=len(vectors),
        data={
            "interactions": int(data["interactions"]),
            "training users": int(data["training_users"]),
            "users with held-out likes": held_out,
            "videos ranked": len(vectors),
            "data as of (UTC)": str(data["as_of"]),
            "features of training as of (UTC)": str(data["train_as_of"]),
        },
        config=read_json(run / "config.json") or {},
        history=read_json(run / "history.json") or [],
        users=results[TWO_TOWER][1],
        metrics={name: values for name, (values, _) in results.items()},
        oracle=_oracle(settings),
    )


@torch.no_grad()
def _rank(
    warehouse: Warehouse, towers: Towers, vectors: torch.Tensor, empty: Tally, held_out: int
) -> dict[str, Tally]:
    """Rank for all held-out users with every model."""
    items = len(vectors)
    likes = read_likes(warehouse, items)
    popularity = Popularity(likes)
    knn = ItemKNN(likes, popularity)
    popular = torch.from_numpy(popularity.scores)
    scorers: dict[str, Callable[[Batch], torch.Tensor]] = {
        TWO_TOWER: lambda batch: towers.forward_sparse("user", batch.slots) @ vectors.T,
        "popularity": lambda batch: popular.repeat(len(batch.liked), 1),
        "item_knn": lambda batch: torch.from_numpy(knn.scores(batch.liked)),
    }
    tallies = {name: Tally(empty.catalogue) for name in scorers}
    with bar("Ranking for held-out users", min(held_out, MAX_USERS)) as shown:
        for batch in read_users(warehouse, towers, items):
            for name, score in scorers.items():
                tallies[name].add(batch.users, score(batch))
            shown.advance(len(batch.liked))
    return tallies


def _write_rows(warehouse: Warehouse, evaluation: Evaluation) -> None:
    """Replace the rows of this run."""
    tables.ensure_evaluation(warehouse)
    with warehouse.transaction():
        for table in ("evaluation_runs", "evaluation_metrics"):
            warehouse.execute(
                f"delete from two_tower.{table} where run_id = ?", (evaluation.version,)
            )
        warehouse.execute(
            "insert into two_tower.evaluation_runs (run_id, evaluated_at, split, layout_hash,"
            " users, videos, config) values (?, ?, ?, ?, ?, ?, ?)",
            (
                evaluation.version,
                evaluation.evaluated_at,
                evaluation.split,
                evaluation.layout_hash,
                evaluation.users[OVERALL],
                evaluation.videos,
                json.dumps(evaluation.config, ensure_ascii=False),
            ),
        )
        for model, slices in evaluation.metrics.items():
            for name, metrics in slices.items():
                for metric, value in metrics.items():
                    warehouse.execute(
                        "insert into two_tower.evaluation_metrics (run_id, model, slice, metric,"
                        " value, users) values (?, ?, ?, ?, ?, ?)",
                        (evaluation.version, model, name, metric, value, evaluation.users[name]),
                    )


def _oracle(settings: Settings) -> dict[str, float]:
    """Return the best achievable metrics of generated data, where it says what they are."""
    oracle: Any = read_json(settings.path(settings.data_dir) / "oracle.json") or {}
    return {name: float(value) for name, value in oracle.get("oracle", {}).items()}
