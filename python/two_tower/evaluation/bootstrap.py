"""Bootstrap intervals over users, and a paired test of two runs.

``columns`` are the metrics of each user, float64 ``[users, metrics]``, NaN if a metric is not
defined for a user. The seed is fixed, so that the same columns always give the same interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from two_tower.evaluation.metrics import Floats

RESAMPLES = 1_000
FLIPS = 10_000
# Percentiles of the resampled means: a 95 % interval.
PERCENTILES = (2.5, 97.5)
SEED = 20_240_101
# Numbers drawn at once: 32 MB.
DRAWN_CELLS = 4_000_000


def resampled_means(columns: Floats) -> Floats:
    """Return the means over resampled users, float64 ``[RESAMPLES, metrics]``.

    Each resample draws as many users as there are, with replacement (Efron 1979, "Bootstrap
    methods: another look at the jackknife"). NaN if a metric is defined for none of those drawn.
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
    """Return the percentile interval of samples ``[RESAMPLES, metrics]``: two of ``[metrics]``.

    NaN for a metric that is not defined in any sample.
    """
    lower = np.full(samples.shape[1], np.nan)
    upper = lower.copy()
    defined = ~np.isnan(samples).all(axis=0)
    if defined.any():
        lower[defined], upper[defined] = np.nanpercentile(samples[:, defined], PERCENTILES, axis=0)
    return lower, upper


def sign_flip_p_values(differences: Floats) -> Floats:
    """Return two-sided p-values of paired differences, ``[metrics]``.

    If the runs were equal, each user's difference could as well have the other sign. The p-value is
    the share of random signs, the observed ones included, under which the mean is at least as far
    from 0 as observed (Smucker, Allan & Carterette 2007, "A comparison of statistical significance
    tests for information retrieval evaluation").

    Args:
        differences: ``[users, metrics]``; NaN counts as no difference.
    """
    paired = np.nan_to_num(differences)
    # Sums that differ only by the order of their summands count as equal.
    observed = np.abs(paired.sum(axis=0)) * (1 - 1e-9) - 1e-12
    rng = np.random.default_rng(SEED)
    reached = np.zeros(paired.shape[1])
    for count in _chunks(FLIPS, len(paired)):
        signs = rng.integers(0, 2, (count, len(paired)), dtype=np.int8) * 2.0 - 1
        reached += (np.abs(signs @ paired) >= observed).sum(axis=0)
    p_values: Floats = (1 + reached) / (1 + FLIPS)
    return p_values


def _chunks(count: int, users: int) -> Iterator[int]:
    """Yield the sizes of parts of ``count`` repetitions that fit ``DRAWN_CELLS``."""
    step = max(1, DRAWN_CELLS // max(users, 1))
    for start in range(0, count, step):
        yield min(step, count - start)
