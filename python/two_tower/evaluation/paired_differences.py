"""Two models measured on the same users: the rows that a release is judged by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from two_tower.evaluation import bootstrap
from two_tower.evaluation.ranking import Tally

METRICS = ("ndcg@10", "recall@20")
SERVING = "serving"  # the baseline that is the release that serves
# How often one of the intervals may miss the truth by chance.
ALPHA = 0.05


@dataclass(frozen=True)
class Paired:
    """How far one model is ahead of another, in one metric and slice.

    Attributes:
        baseline: ``serving`` (:data:`SERVING`) or ``popularity``.
        baseline_version: the serving release's; None of popularity.
        slice: the slice.
        metric: the metric.
        value: mean of the model.
        baseline_value: mean of the other one over the same users.
        difference: value - baseline_value.
        lower: of the difference's interval. All intervals of a comparison hold together with 95 %.
        upper: likewise.
        users: for whom both have the metric.
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
    """Compare two tallies of the same users; a slice that nobody has a target in has no row.

    An interval is the mean and so many standard deviations of its paired bootstrap over the users,
    widened for the number of rows that are looked at (Bonferroni): of ten differences that are
    nothing but chance, one would else be called sure every third time.
    """
    slices = list(slices)
    width = NormalDist().inv_cdf(1 - ALPHA / (2 * len(slices) * len(METRICS)))
    found = []
    for name in slices:
        mine, other = (
            np.stack([tally.slice_columns(name)[metric] for metric in METRICS], axis=1)
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
            for at, metric in enumerate(METRICS)
        ]
    return found
