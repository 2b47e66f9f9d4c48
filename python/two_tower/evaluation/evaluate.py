"""Measure a model on the held-out likes, beside popularity and item-kNN: ``two-tower evaluate``.

A held-out user's features come from training reviews alone, a cold user's from the likes that they
show. All videos are ranked except those that these features know the user has seen. The targets are
the held-out likes.
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

from two_tower.artifacts.runs import find_run
from two_tower.core.errors import InputError
from two_tower.core.files import read_json
from two_tower.core.progress import bar
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.evaluation import results_tables
from two_tower.evaluation.baselines import (
    ItemKNN,
    Popularity,
    SegmentPopularity,
    read_likes,
    read_segments,
    segments_of,
)
from two_tower.evaluation.held_out import (
    MAX_USERS,
    HeldOutBatch,
    count_users,
    read_catalogue,
    read_like_counts,
    read_users,
)
from two_tower.evaluation.metrics import Bools
from two_tower.evaluation.paired_differences import Paired, paired
from two_tower.evaluation.ranking import OVERALL, Catalogue, Intervals, Metrics, Results, Tally
from two_tower.evaluation.report import Evaluation, read_oracle, write_report
from two_tower.evaluation.serving_baseline import SideBySide, read_serving
from two_tower.evaluation.user_metrics import UserMetrics
from two_tower.model.feature_rows import read_layout
from two_tower.model.towers import Towers, load_towers

TWO_TOWER = "two_tower"
POPULARITY = "popularity"
SEGMENTS = "segment_popularity"
# The ranking of cold videos among themselves.
AMONG_COLD = "among_cold_items"

Scorers = dict[str, Callable[[HeldOutBatch], torch.Tensor]]


@dataclass(frozen=True)
class EvaluationResult:
    """What was measured.

    Attributes:
        version: version of the model; with a protocol ``PROTOCOL/VERSION``, its folder in the runs.
        split: the protocol, or the var ``split_strategy`` of the build.
        split_seed: the var of that name.
        users: number of held-out users.
        metrics: model -> slice -> metric. Slices without users are missing; a metric that is not
            defined for a slice is None or missing.
        intervals: model -> slice -> metric -> 95 % interval, if it has one.
        report: the HTML report.
        seconds: wall time.
    """

    version: str
    split: str
    split_seed: str
    users: int
    metrics: dict[str, dict[str, Metrics]]
    intervals: dict[str, dict[str, Intervals]]
    report: Path
    seconds: float


def evaluate(
    settings: Settings, version: str | None = None, protocol: str | None = None
) -> EvaluationResult:
    """Evaluate a trained model, by default the newest, on the split of the settings' schema.

    Writes ``metrics.json``, ``user_metrics.parquet`` and ``report.html`` into the run's folder, and
    replaces the run's rows in ``evaluation_runs`` and ``evaluation_metrics``.

    Args:
        settings: where the runs and the split are.
        version: version of the model.
        protocol: name of the protocol whose split and runs these are, see
            :mod:`two_tower.operations.protocols`.

    Raises:
        InputError: no such version, or the features are no longer those of the model.
        NotEnoughDataError: no model, no dbt build, or no held-out like.
        UnavailableError: the database cannot be reached.
    """
    started = time.perf_counter()
    run = find_run(settings, version)
    towers = load_towers(run / "towers.pt")
    with open_warehouse(settings) as warehouse:
        ddl.ensure_evaluation(warehouse)
        evaluation, kept = _measure(warehouse, towers, run, settings, protocol)
        results_tables.write(warehouse, evaluation)
    text = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False)
    (run / "metrics.json").write_text(text + "\n", encoding="utf-8")
    kept.write(run, evaluation.version, evaluation.split, evaluation.split_seed)
    report = write_report(run, evaluation)
    return EvaluationResult(
        version=evaluation.version,
        split=evaluation.split,
        split_seed=evaluation.split_seed,
        users=evaluation.users[evaluation.headline],
        metrics=evaluation.metrics,
        intervals=evaluation.intervals,
        report=report,
        seconds=round(time.perf_counter() - started, 2),
    )


def _measure(
    warehouse: Warehouse, towers: Towers, run: Path, settings: Settings, protocol: str | None
) -> tuple[Evaluation, UserMetrics]:
    held_out = count_users(warehouse)
    layout = read_layout(warehouse)
    if layout.layout_hash != towers.layout.layout_hash:
        raise InputError(
            f"model {run.name} was trained on other features (layout {towers.layout.layout_hash})"
            f" than the database has now (layout {layout.layout_hash})",
            "two-tower train makes a model of today's features",
        )
    schema = warehouse.schema
    data = warehouse.fetch(
        f"select (select count(*) from {schema}.interactions) as interactions,"
        f" as_of, train_as_of, split_strategy, split_seed from {schema}.int_as_of"
    )[0]
    catalogue, vectors = read_catalogue(warehouse, towers)
    serving = None
    if protocol is None:
        serving = read_serving(warehouse, settings, run.name, layout.layout_hash)
    side_by_side = None
    if serving is not None and serving.towers is not None:
        side_by_side = SideBySide(warehouse, serving, catalogue)
    results, kept, comparisons = _rank(
        warehouse, towers, catalogue, vectors, held_out, data["split_strategy"], side_by_side
    )
    evaluation = Evaluation(
        version=run.name if protocol is None else f"{protocol}/{run.name}",
        split=protocol or data["split_strategy"],
        protocol=protocol,
        split_seed=data["split_seed"],
        evaluated_at=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        layout_hash=towers.layout.layout_hash,
        videos=len(vectors),
        data={
            "interactions": int(data["interactions"]),
            "training users": catalogue.users,
            "users with held-out likes": held_out,
            "videos ranked": len(vectors),
            "seed of the split": data["split_seed"],
            "data as of (UTC)": str(data["as_of"]),
            "features of training as of (UTC)": str(data["train_as_of"]),
        },
        config=read_json(run / "config.json") or {},
        history=read_json(run / "history.json") or [],
        users=results[TWO_TOWER].users,
        metrics={name: found.values for name, found in results.items()},
        intervals={name: found.intervals for name, found in results.items()},
        oracle=read_oracle(settings, data["split_strategy"]),
        comparisons=comparisons,
        serving_version=serving.version if serving else None,
        serving_state=serving.state if serving else None,
        serving_note=serving.note if serving else None,
        is_trained_here=protocol is None and _is_trained_here(run, catalogue),
    )
    return evaluation, kept


def _is_trained_here(run: Path, catalogue: Catalogue) -> bool:
    """Return whether the database still has the build that the run was trained on."""
    trained: Any = read_json(run / "result.json") or {}
    here = (len(catalogue.popularity), int(catalogue.popularity.sum()))
    return (trained.get("items"), trained.get("reviews")) == here


@torch.no_grad()
def _rank(
    warehouse: Warehouse,
    towers: Towers,
    catalogue: Catalogue,
    vectors: torch.Tensor,
    held_out: int,
    strategy: str,
    side_by_side: SideBySide | None,
) -> tuple[dict[str, Results], UserMetrics, list[Paired]]:
    """Rank for all held-out users with each model, once for each number of likes shown."""
    items = len(vectors)
    likes = read_likes(warehouse, items)
    popularity = Popularity(likes)
    knn = ItemKNN(likes, popularity)
    popular = torch.from_numpy(popularity.scores)
    scorers: Scorers = {
        TWO_TOWER: lambda batch: towers.forward_sparse("user", batch.slots) @ vectors.T,
        POPULARITY: lambda batch: popular.repeat(len(batch.users.liked), 1),
        "item_knn": lambda batch: torch.from_numpy(knn.scores(batch.users.liked)),
    }
    if any(block.kind == "profile" and block.width for block in towers.layout.user):
        segments = SegmentPopularity(*read_segments(warehouse, towers.layout, items), popularity)
        scorers[SEGMENTS] = lambda batch: torch.from_numpy(
            segments.scores(segments_of(towers.layout, batch.slots))
        )
    results = {name: Results({}, {}, {}) for name in scorers}
    kept = UserMetrics(items)
    comparisons: list[Paired] = []
    like_counts: list[int | None] = [*read_like_counts(warehouse)]
    cases = like_counts or [None]
    for like_count in cases:
        candidates: dict[str, Bools | None] = {_shown(like_count): None}
        if strategy == "cold_items":
            candidates[AMONG_COLD] = catalogue.is_held_out
        tallies = {
            model: {name: Tally(catalogue, inside) for name, inside in candidates.items()}
            for model in scorers
        }
        with bar("Ranking for held-out users", min(held_out, MAX_USERS)) as shown:
            for batch in read_users(warehouse, towers, items, like_count):
                kept.add_users(batch.users)
                for model, score in scorers.items():
                    scores = score(batch)
                    is_headline = model == TWO_TOWER and like_count == cases[-1]
                    if side_by_side is not None and is_headline:
                        side_by_side.add(batch, scores)
                    for tally in tallies[model].values():
                        tally.add(batch.users, scores)
                shown.advance(len(batch.users.liked))
        for model, named in tallies.items():
            for name, tally in named.items():
                _merge(results[model], name, tally.results())
                kept.add_columns(model, name, tally.columns())
        ours, theirs = (tallies[model][_shown(like_count)] for model in (TWO_TOWER, POPULARITY))
        # Of cold users the last case counts: those who show most likes.
        comparisons = paired(ours, theirs, POPULARITY, None, (OVERALL,))
    if side_by_side is not None:
        comparisons += side_by_side.results()
    return results, kept, comparisons


def _shown(like_count: int | None) -> str:
    """Return the name of the slice of cold users who show so many likes, or of all users."""
    if like_count is None:
        return OVERALL
    return f"{like_count}_like" + ("" if like_count == 1 else "s")


def _merge(into: Results, name: str, found: Results) -> None:
    """Add all slices of the ranking of all videos, but only the overall metrics of another."""
    for slice_name in found.users:
        if name == OVERALL or slice_name == OVERALL:
            key = slice_name if name == OVERALL else name
            into.values[key] = found.values[slice_name]
            into.intervals[key] = found.intervals[slice_name]
            into.users[key] = found.users[slice_name]
