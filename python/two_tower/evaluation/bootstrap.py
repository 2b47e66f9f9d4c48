"""How sure a figure is: intervals by the bootstrap over users, and a paired test of two runs.

``columns`` are figures a user, ``[users, metrics]``; NaN where a metric is not defined for a user.
The same number of users is always drawn alike, so that a figure has one interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from two_tower.evaluation.metrics import Floats

RESAMPLES = 1_000
FLIPS = 10_000
# Of the resampled means, what lies between: 95 %.
PERCENTILES = (2.5, 97.5)
SEED = 20_240_101
# Numbers drawn at once: 32 MB.
DRAWN_CELLS = 4_000_000


def resampled_means(columns: Floats) -> Floats:
    """Return the means over as many users drawn with replacement, ``[RESAMPLES, metrics]``.

    Efron 1979, "Bootstrap methods: another look at the jackknife". NaN where a metric is defined
    for none of the users drawn.
    """
    users = len(columns)
    known = ~np.isnan(columns)
    both = np.concatenate([np.where(known, columns, 0), known], axis=1)
    rng = np.random.default_rng(SEED)
    parts = []
    for count in _chunks(RESAMPLES, users):
        drawn = rng.integers(0, users, (count, users)) + np.arange(count)[:, None] * users
        times = np.bincount(drawn.ravel(), minlength=count * users).reshape(count, users)
        parts.append(times @ both)
    sums, counts = np.split(np.concatenate(parts), 2, axis=1)
    with np.errstate(invalid="ignore"):
        means: Floats = sums / counts
    return means


def bounds(samples: Floats) -> tuple[Floats, Floats]:
    """Return the percentile interval of resampled figures: two ``[metrics]`` of ``[…, metrics]``.

    A metric that no resample defines gets NaN.
    """
    lower = np.full(samples.shape[1], np.nan)
    upper = lower.copy()
    defined = ~np.isnan(samples).all(axis=0)
    if defined.any():
        lower[defined], upper[defined] = np.nanpercentile(samples[:, defined], PERCENTILES, axis=0)
    return lower, upper


def sign_flip_p_values(differences: Floats) -> Floats:
    """Return two-sided p-values of paired differences, ``[metrics]``.

    If the two runs were alike, each user's difference could as well have the other sign: the share
    of random signs under which the mean is at least as far from 0 as the one observed, which counts
    as one of them (Smucker, Allan & Carterette 2007, "A comparison of statistical significance
    tests for information retrieval evaluation").

    Args:
        differences: ``[users, metrics]``; NaN counts as no difference.
    """
    paired = np.nan_to_num(differences)
    # What is equal but for the order of its summands counts as equal.
    observed = np.abs(paired.sum(axis=0)) * (1 - 1e-9) - 1e-12
    rng = np.random.default_rng(SEED)
    reached = np.zeros(paired.shape[1])
    for count in _chunks(FLIPS, len(paired)):
        signs = rng.integers(0, 2, (count, len(paired)), dtype=np.int8) * 2.0 - 1
        reached += (np.abs(signs @ paired) >= observed).sum(axis=0)
    p_values: Floats = (1 + reached) / (1 + FLIPS)
    return p_values


def _chunks(count: int, users: int) -> Iterator[int]:
    """Yield parts of ``count`` repetitions, few enough at once."""
    step = max(1, DRAWN_CELLS // max(users, 1))
    for start in range(0, count, step):
        yield min(step, count - start)
