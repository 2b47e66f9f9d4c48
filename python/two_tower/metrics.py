"""Ranking metrics, a row a user at once.

``hits`` is bool ``[users, depth]``: whether the video at each place of a user's list (the best
first) is one of the user's targets; ``targets`` is int ``[users]``, at least 1: how many there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def recall(hits: Bools, targets: Ints, k: int) -> Floats:
    """Return Recall@k, ``[users]``: the share of the targets among the first ``k``.

    Divided by ``min(k, targets)``, so that a perfect list scores 1 however many targets there are
    (Liang et al. 2018, "Variational autoencoders for collaborative filtering").
    """
    found: Floats = hits[:, :k].sum(axis=1) / np.minimum(targets, k)
    return found


def ndcg(hits: Bools, targets: Ints, k: int) -> Floats:
    """Return NDCG@k with binary gains, ``[users]`` (Järvelin & Kekäläinen 2002).

    DCG is the sum of ``1 / log2(place + 1)`` over the hits, places from 1; it is divided by the DCG
    of a list that begins with all the targets.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(targets, k) - 1]
    depth = min(k, hits.shape[1])
    gained: Floats = hits[:, :depth] @ discounts[:depth] / ideal
    return gained


def reciprocal_rank(best_places: Ints) -> Floats:
    """Return 1 / the place (from 1) of each user's best target, over all ranked videos."""
    return 1 / best_places


def coverage(recommended: Bools) -> float:
    """Return the share of videos, ``[videos]``, that are in somebody's list."""
    return float(recommended.mean()) if len(recommended) else 0.0


def popularity_lift(recommended: Floats, consumed: Floats) -> float | None:
    """Return how much more popular the recommended videos are than those the users consumed.

    ``(GAP_recommended - GAP_consumed) / GAP_consumed``, where GAP, the group average popularity, is
    the mean over users of the mean popularity of a user's videos (Abdollahpouri et al. 2020, "The
    connection between popularity bias, calibration, and fairness in recommendation"). 0: as popular
    as what the users chose themselves; 1: twice as popular. None where nobody consumed anything.

    Args:
        recommended: mean popularity of the videos recommended to each user, ``[users]``.
        consumed: mean popularity of the videos each user reviewed in training, ``[users]``; NaN
            for users without any, who are left out.
    """
    known = ~np.isnan(consumed)
    base = float(consumed[known].mean()) if known.any() else 0.0
    return (float(recommended[known].mean()) - base) / base if base > 0 else None
