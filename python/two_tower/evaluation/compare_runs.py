"""Compare two evaluated runs user by user: ``two-tower compare``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.evaluation import bootstrap
from two_tower.evaluation.metrics import Floats
from two_tower.evaluation.user_metrics import Measured

MODEL = "two_tower"


@dataclass(frozen=True)
class Difference:
    """The paired difference of two runs in one metric of one slice.

    Attributes:
        slice: the slice.
        metric: the metric.
        first: mean of the first run.
        second: mean of the second run.
        difference: second - first.
        lower: lower bound of the difference's 95 % interval.
        upper: upper bound of the difference's 95 % interval.
        p_value: two-sided p-value of a sign-flip test of no difference.
        users: number of users for whom both runs have the metric.
    """

    slice: str
    metric: str
    first: float
    second: float
    difference: float
    lower: float
    upper: float
    p_value: float
    users: int


@dataclass(frozen=True)
class Comparison:
    """Two runs, measured on the same users and split."""

    first: str
    second: str
    split: str
    split_seed: str
    differences: list[Difference]


def compare(settings: Settings, first: str, second: str) -> Comparison:
    """Compare the towers of two evaluated runs.

    Args:
        settings: settings with the folder of the runs.
        first: ``VERSION`` or ``PROTOCOL/VERSION``.
        second: likewise.

    Raises:
        InputError: a run was not evaluated, or the two differ in users, targets or catalogue.
    """
    runs = settings.path(settings.runs_dir)
    ours, theirs = (Measured.read(runs / version, version) for version in (first, second))
    if ours.measured_on != theirs.measured_on:
        raise InputError(
            f"{first} and {second} were not measured on the same users and targets"
            f" (split {ours.split}, seed {ours.split_seed}, and split {theirs.split},"
            f" seed {theirs.split_seed})",
            "evaluate both anew on one build: two-tower evaluate --version …, or both with the same"
            " --protocol and --split-seed",
        )
    metrics = [name for name in ours.metrics if name in theirs.metrics]
    differences: list[Difference] = []
    for name in ours.slices:
        pair = [run.columns(MODEL, name, metrics) for run in (ours, theirs)]
        differences += _differences(name, metrics, *pair)
    return Comparison(first, second, ours.split, ours.split_seed, differences)


def _differences(name: str, metrics: list[str], first: Floats, second: Floats) -> list[Difference]:
    """Return a difference for each metric that both runs have for at least one user."""
    paired = second - first
    known = ~np.isnan(paired)
    lower, upper = bootstrap.bounds(bootstrap.resampled_means(paired))
    p_values = bootstrap.sign_flip_p_values(paired)
    return [
        Difference(
            slice=name,
            metric=metric,
            first=float(first[rows, at].mean()),
            second=float(second[rows, at].mean()),
            difference=float(paired[rows, at].mean()),
            lower=float(lower[at]),
            upper=float(upper[at]),
            p_value=float(p_values[at]),
            users=int(rows.sum()),
        )
        for at, (metric, rows) in enumerate(zip(metrics, known.T, strict=True))
        if rows.any()
    ]
