"""Differences of two models over the same users, which the gate judges a release by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from two_tower.core.metric_names import COMPARED
from two_tower.evaluation import bootstrap
from two_tower.evaluation.ranking import Tally

SERVING = "serving"  # the baseline that is the serving release
# Probability that at least one of the intervals misses the true difference.
ALPHA = 0.05


@dataclass(frozen=True)
class Paired:
    """The difference of two models in one metric and slice.

    Attributes:
        baseline: ``serving`` (:data:`SERVING`) or ``popularity``.
        baseline_version: version of the serving release; None for popularity.
        slice: the slice.
        metric: the metric.
        value: mean of the model over the users.
        baseline_value: mean of the baseline over the same users.
        difference: value - baseline_value.
        lower: lower end of the interval of the difference. All intervals of a comparison hold
            together with 95 %.
        upper: its upper end.
        users: number of users with the metric.
    """

    baseline: str
    baseline_version: str | None
    slice: str
    metric: str
    value: float
    baseline_value: float
    difference: float
    lower: float
    upper: float
    users: int


def paired(
    ours: Tally, theirs: Tally, baseline: str, version: str | None, slices: Iterable[str]
) -> list[Paired]:
    """Compare two tallies of the same users; a slice without targets has no row.

    An interval is the mean plus and minus ``width`` standard deviations of the paired bootstrap
    over users. ``width`` is that of a normal distribution at 95 %, with the Bonferroni correction
    for the number of rows: without it, ten intervals of equal models would miss 0 at least once
    in 40 % of all comparisons (1 - .95^10).
    """
    slices = list(slices)
    width = NormalDist().inv_cdf(1 - ALPHA / (2 * len(slices) * len(COMPARED)))
    found = []
    for name in slices:
        mine, other = (
            np.stack([tally.slice_columns(name)[metric] for metric in COMPARED], axis=1)
            for tally in (ours, theirs)
        )
        if not len(mine):
            continue
        difference = mine - other
        means = difference.mean(axis=0)
        spread = width * bootstrap.resampled_means(difference).std(axis=0)
        found += [
            Paired(
                baseline=baseline,
                baseline_version=version,
                slice=name,
                metric=metric,
                value=float(mine[:, at].mean()),
                baseline_value=float(other[:, at].mean()),
                difference=float(means[at]),
                lower=float(means[at] - spread[at]),
                upper=float(means[at] + spread[at]),
                users=len(mine),
            )
            for at, metric in enumerate(COMPARED)
        ]
    return found
