"""The report of an evaluation: one HTML file with plots and tables that fetches nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from two_tower import plots
from two_tower.ranking import ITEM_SLICES, OVERALL, SLICES, USER_SLICES, Metrics

TWO_TOWER = "two_tower"
MODEL_NAMES = {TWO_TOWER: "two towers", "item_knn": "item-kNN", "popularity": "popularity"}
ACCURACY = ("recall@20", "recall@50", "ndcg@10", "ndcg@100", "mrr")
METRIC_NAMES = {
    "recall@20": "Recall@20",
    "recall@50": "Recall@50",
    "ndcg@10": "NDCG@10",
    "ndcg@100": "NDCG@100",
    "mrr": "MRR",
    "coverage": "coverage",
    "popularity_lift": "popularity lift",
}
HEADLINES = ("recall@20", "ndcg@10", "mrr", "coverage")


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, and on what.

    Attributes:
        version: the model's.
        split: ``random`` or ``temporal``.
        evaluated_at: UTC, without a zone.
        layout_hash: of the features.
        videos: how many were ranked.
        data: counts and moments, by their names for people.
        config: how the model was trained.
        history: a row an epoch.
        users: held-out users of each slice.
        metrics: model -> slice -> metric.
        oracle: the best achievable metrics, where the data are generated.
    """

    version: str
    split: str
    evaluated_at: datetime
    layout_hash: str
    videos: int
    data: dict[str, Any]
    config: dict[str, Any]
    history: list[dict[str, Any]]
    users: dict[str, int]
    metrics: dict[str, dict[str, Metrics]]
    oracle: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as ``metrics.json`` holds them."""
        values = dataclasses.asdict(self)
        del values["history"]
        return {**values, "evaluated_at": self.evaluated_at.isoformat()}


def write_report(run: Path, evaluation: Evaluation) -> Path:
    """Write ``report.html`` into the run's folder and return its path."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("two_tower"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = figure
    overall = {model: slices[OVERALL] for model, slices in evaluation.metrics.items()}
    text = environment.get_template("report.html").render(
        evaluation=evaluation,
        users=evaluation.users[OVERALL],
        overall=overall,
        models=[model for model in MODEL_NAMES if model in overall],
        model_names=MODEL_NAMES,
        metric_names=METRIC_NAMES,
        headlines=HEADLINES,
        slices=[name for name in SLICES if name in evaluation.users],
        shares={
            name: overall[TWO_TOWER][name] / value  # type: ignore[operator]
            for name, value in evaluation.oracle.items()
            if value and name in overall[TWO_TOWER]
        },
        plots=_plots(evaluation, overall),
    )
    path = run / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def figure(value: float | None, metric: str = "") -> str:
    """Return a figure for people: a lift is signed, shares have four places."""
    if value is None:
        return "–"
    return f"{value:+.2f}" if metric == "popularity_lift" else f"{value:.4f}"


def _plots(evaluation: Evaluation, overall: Mapping[str, Metrics]) -> dict[str, Markup]:
    labels = [METRIC_NAMES[metric] for metric in ACCURACY]
    drawn = {
        "accuracy": plots.bars(
            "accuracy",
            labels,
            {name: [overall[m][x] for x in ACCURACY] for m, name in MODEL_NAMES.items()},
            marks=[evaluation.oracle.get(metric) for metric in ACCURACY],
        ),
        "by_user": _by_slice(evaluation, "by_user", USER_SLICES),
        "by_item": _by_slice(evaluation, "by_item", ITEM_SLICES),
        "beyond": plots.panels(
            "beyond",
            {
                "Catalogue coverage": [overall[m]["coverage"] for m in MODEL_NAMES],
                "Popularity lift": [overall[m]["popularity_lift"] for m in MODEL_NAMES],
            },
            list(MODEL_NAMES.values()),
        ),
    }
    curves = _curves(evaluation.history)
    if curves:
        drawn["training"] = plots.curves("training", curves)
    return {name: Markup(svg) for name, svg in drawn.items()}


def _by_slice(evaluation: Evaluation, name: str, slices: Sequence[str]) -> str:
    present = [part for part in slices if part in evaluation.users]
    labels = [f"{part.replace('_', ' ')}\n{evaluation.users[part]:,} users" for part in present]
    values = {
        title: [evaluation.metrics[model][part]["ndcg@100"] for part in present]
        for model, title in MODEL_NAMES.items()
    }
    return plots.bars(name, labels, values)


def _curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return the loss and the validation metrics of the epochs, by name."""
    if len(history) < 2:
        return {}
    names = [
        name for name in ("loss", "ndcg@10", "recall@20") if all(name in row for row in history)
    ]
    return {METRIC_NAMES.get(name, name): [float(row[name]) for row in history] for name in names}
