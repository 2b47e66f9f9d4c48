"""The report of an evaluation: one HTML file with plots and tables, which loads no other file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from two_tower.core.files import read_json
from two_tower.core.metric_names import ACCURACY, TITLES
from two_tower.core.settings import Settings
from two_tower.evaluation import plots
from two_tower.evaluation.paired_differences import SERVING, Paired
from two_tower.evaluation.ranking import (
    ITEM_SLICES,
    OVERALL,
    SLICES,
    USER_SLICES,
    Intervals,
    Metrics,
)

TWO_TOWER = "two_tower"
MODEL_NAMES = {
    TWO_TOWER: "two towers",
    "item_knn": "item-kNN",
    "popularity": "popularity",
    "segment_popularity": "by segment",
}
BEYOND = tuple(name for name in TITLES if name not in ACCURACY)
HEADLINES = ("recall@20", "ndcg@10", "mrr", "coverage")


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation, and the model, data and split that they are of.

    Attributes:
        version: version of the model.
        split: the protocol, or the var ``split_strategy`` of the build.
        protocol: the protocol that the run belongs to; None for a model that may be exported.
        split_seed: the var of that name.
        evaluated_at: UTC, without a zone.
        layout_hash: hash of the feature layout.
        videos: number of ranked videos.
        data: counts and times, by the titles that the report shows.
        config: the training's configuration.
        history: one row per epoch.
        users: number of held-out users of each slice.
        metrics: model -> slice -> metric.
        intervals: model -> slice -> metric -> 95 % interval, if it has one.
        oracle: the best achievable metrics, if the data are generated.
        comparisons: paired differences to the serving release and to popularity.
        serving_version: the serving version; None if nothing or this model is serving.
        serving_state: whether it could be compared, see
            :mod:`two_tower.evaluation.serving_baseline`.
        serving_note: the same in words.
        is_trained_here: whether the model was trained on the build it is measured on.
    """

    version: str
    split: str
    protocol: str | None
    split_seed: str
    evaluated_at: datetime
    layout_hash: str
    videos: int
    data: dict[str, Any]
    config: dict[str, Any]
    history: list[dict[str, Any]]
    users: dict[str, int]
    metrics: dict[str, dict[str, Metrics]]
    intervals: dict[str, dict[str, Intervals]]
    oracle: dict[str, float]
    comparisons: list[Paired] = field(default_factory=list)
    serving_version: str | None = None
    serving_state: str | None = None
    serving_note: str | None = None
    is_trained_here: bool = False

    @property
    def headline(self) -> str:
        """The slice to look at first: all users or, of cold users, those who show most."""
        return OVERALL if OVERALL in self.users else list(self.users)[-1]

    @property
    def cases(self) -> list[str]:
        """The slices that are rankings of their own: all, cold videos among themselves, …"""
        return [name for name in self.users if name == OVERALL or name not in SLICES]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as ``metrics.json`` holds them."""
        values = dataclasses.asdict(self)
        del values["history"]
        return {**values, "evaluated_at": self.evaluated_at.isoformat()}


def read_oracle(settings: Settings, split_strategy: str) -> dict[str, float]:
    """Return the best metrics that any model could reach, for data that ``sample-data`` wrote.

    They are in ``oracle.json`` beside the data, and hold for a random split.
    """
    if split_strategy != "random":
        return {}
    oracle: Any = read_json(settings.path(settings.data_dir) / "oracle.json") or {}
    return {name: float(value) for name, value in oracle.get("oracle", {}).items()}


def write_report(run: Path, evaluation: Evaluation) -> Path:
    """Write ``report.html`` into the run's folder and return its path."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("two_tower"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = figure
    environment.filters["interval"] = interval
    headline = evaluation.headline
    overall = {model: slices[headline] for model, slices in evaluation.metrics.items()}
    text = environment.get_template("report.html").render(
        evaluation=evaluation,
        users=evaluation.users[headline],
        headline=headline,
        tables={"Accuracy": ACCURACY, "Beyond accuracy": BEYOND},
        overall=overall,
        models=list(_names(evaluation)),
        model_names=MODEL_NAMES,
        metric_names=TITLES,
        headlines=HEADLINES,
        shares={
            name: overall[TWO_TOWER][name] / value  # type: ignore[operator]
            for name, value in evaluation.oracle.items()
            if value and name in overall[TWO_TOWER]
        },
        plots=_plots(evaluation, overall),
        beside=[row for row in evaluation.comparisons if row.baseline == SERVING],
    )
    path = run / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def figure(value: float | None, metric: str = "") -> str:
    """Return a figure for people: a lift is signed, shares have four places."""
    if value is None:
        return "–"
    return f"{value:+.2f}" if metric == "popularity_lift" else f"{value:.4f}"


def interval(bounds: tuple[float, float] | None, metric: str = "") -> str:
    """Return an interval for people, or nothing."""
    if bounds is None:
        return ""
    return "–".join(figure(bound, metric) for bound in bounds)


def _names(evaluation: Evaluation) -> dict[str, str]:
    """Return the models that were measured, with their names for people."""
    return {model: name for model, name in MODEL_NAMES.items() if model in evaluation.metrics}


def _plots(evaluation: Evaluation, overall: Mapping[str, Metrics]) -> dict[str, Markup]:
    labels = [TITLES[metric] for metric in ACCURACY]
    names = _names(evaluation)
    drawn = {
        "accuracy": plots.bars(
            "accuracy",
            labels,
            {name: [overall[m][x] for x in ACCURACY] for m, name in names.items()},
            marks=[evaluation.oracle.get(metric) for metric in ACCURACY],
            intervals={
                name: [evaluation.intervals[m][evaluation.headline].get(x) for x in ACCURACY]
                for m, name in names.items()
            },
        ),
        "beyond": plots.panels(
            "beyond",
            {
                TITLES[metric].capitalize(): [overall[m].get(metric) for m in names]
                for metric in BEYOND
            },
            list(names.values()),
        ),
    }
    # One bar says nothing beside itself.
    for name, slices in (
        ("by_case", evaluation.cases),
        ("by_user", USER_SLICES),
        ("by_item", ITEM_SLICES),
    ):
        present = [part for part in slices if part in evaluation.users]
        if len(present) > 1:
            drawn[name] = _by_slice(evaluation, name, present)
    curves = _curves(evaluation.history)
    if curves:
        drawn["training"] = plots.curves("training", curves)
    return {name: Markup(svg) for name, svg in drawn.items()}


def _by_slice(evaluation: Evaluation, name: str, slices: Sequence[str]) -> str:
    labels = [f"{part.replace('_', ' ')}\n{evaluation.users[part]:,} users" for part in slices]
    values, bounds = {}, {}
    for model, title in _names(evaluation).items():
        values[title] = [evaluation.metrics[model][part]["ndcg@100"] for part in slices]
        bounds[title] = [evaluation.intervals[model][part].get("ndcg@100") for part in slices]
    return plots.bars(name, labels, values, intervals=bounds)


def _curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return the loss and the validation metrics of the epochs, by name."""
    if len(history) < 2:
        return {}
    names = [
        name for name in ("loss", "ndcg@10", "recall@20") if all(name in row for row in history)
    ]
    return {TITLES.get(name, name): [float(row[name]) for row in history] for name in names}
