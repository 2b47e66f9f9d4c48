"""Vectors that all point one way: how far they do, and how they are spread.

An index tells crowded vectors apart badly, and the release's audit refuses them (var
``mean_cosine_ceiling``). Videos crowd where few are as long as the longest: what the others lack
lies in the last column, where no user has anything. Users crowd where what everybody likes counts
for more than what they like. Both happen where little was learned, of few reviews or in few passes;
where enough was, nothing here changes a vector.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from two_tower.model.linear_map import LinearMap

Floats = NDArray[np.float64]

# A mean cosine is lowered to it: below the audit's .9, which new videos and rounding come to.
MOST = 0.8
STEPS = 20  # of a bisection: to a millionth


def mean_cosine(vectors: Floats) -> float:
    """Return the mean cosine of all pairs of rows, ``[n, dim]``: their unit mean's square."""
    return float((_unit(vectors).mean(axis=0) ** 2).sum()) if len(vectors) else 0.0


def measured(
    placed: LinearMap, users: sparse.csr_array, known: NDArray[np.bool_]
) -> dict[str, float]:
    """Return the mean cosine of ``users`` and of ``videos``.

    Args:
        placed: a map whose videos are on the sphere.
        users: the design of some users, ``[users, user_feature_dim + 1]``.
        known: the videos that it knows, bool ``[items]``.
    """
    return {"users": mean_cosine(users @ placed.user), "videos": mean_cosine(placed.item[known])}


def uncrowded(placed: LinearMap, users: sparse.csr_array, known: NDArray[np.bool_]) -> LinearMap:
    """Return the map with both mean cosines at most ``MOST``; the same where they are.

    Of videos the last column is cut to the highest value that does it, and they are scaled to
    length 1 again: short ones rise in the lists. From users as much of their mean is taken as does
    it: what everybody likes counts less.
    """
    found = measured(placed, users, known)
    user, item = placed.user, placed.item
    if found["videos"] > MOST:
        vectors = item[known]

        def cut(share: float) -> Floats:
            rest = np.minimum(vectors[:, -1:], 1 - share)
            return _unit(np.hstack([vectors[:, :-1], rest]))

        item = item.copy()
        item[known] = cut(_least(lambda share: mean_cosine(cut(share))))
    if found["users"] > MOST:
        encoded = users @ user
        mean = encoded.mean(axis=0)
        share = _least(lambda share: mean_cosine(encoded - share * mean))
        user = user.copy()
        user[-1] -= share * mean
    return placed if item is placed.item and user is placed.user else LinearMap(user, item)


def _least(value: Callable[[float], float]) -> float:
    """Return the least share, 0..1, at which a value that falls with it is at most ``MOST``."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if value(middle) <= MOST else (middle, high)
    return high


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))
