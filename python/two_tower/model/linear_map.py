"""Linear maps from a user's slots to scores of all videos, as two factors; how several are joined.

A linear tower is such a map: the score of video ``v`` for a user with slots ``z`` is
``(z @ user) @ item[v]``. Maps add up, and a sum of maps is reduced to a given rank again, so that
models of different kinds become one. Nothing here knows a feature by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg, sparse

from two_tower.model.layout import Layout
from two_tower.model.slots import Slots
from two_tower.model.towers import SparseTower, Towers

Floats = NDArray[np.float64]

# Steps of the rotation at most, and how near to its optimum it ends.
ROTATION_STEPS = 100
ROTATION_TOLERANCE = 5e-2


@dataclass(frozen=True)
class LinearMap:
    """A linear map of rank ``r``.

    Attributes:
        user: float64 ``[user_feature_dim + 1, r]``; the last row belongs to a slot that is always
            1.
        item: float64 ``[items, r]``; rows of zeros for videos it does not know.
    """

    user: Floats
    item: Floats

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out rows of zeros, of which an expert of a part of the videos has many."""
        rows = [np.flatnonzero(part.any(axis=1)) for part in (self.user, self.item)]
        parts = zip((self.user, self.item), rows, strict=True)
        return _unpacked, tuple((len(part), there, part[there]) for part, there in parts)

    @property
    def rank(self) -> int:
        """The width of both factors."""
        return int(self.item.shape[1])


def _unpacked(*parts: tuple[int, NDArray[np.int64], Floats]) -> LinearMap:
    whole = [np.zeros((length, values.shape[1])) for length, _, values in parts]
    for part, (_, rows, values) in zip(whole, parts, strict=True):
        part[rows] = values
    return LinearMap(*whole)


def design(layout: Layout, slots: Slots) -> sparse.csr_array:
    """Return users' slots as the towers weigh them, and a 1 each: ``[rows, feature_dim + 1]``."""
    width = layout.feature_dim("user") + 1
    rows = len(slots)
    values = np.concatenate([layout.weighed("user", slots), np.ones(rows, dtype=np.float32)])
    places = np.concatenate([slots.positions, np.full(rows, width - 1)])
    numbers = np.concatenate([slots.rows, np.arange(rows)])
    return sparse.csr_array((values.astype(np.float64), (numbers, places)), shape=(rows, width))


def of_towers(towers: Towers, items: Floats, layout: Layout) -> LinearMap:
    """Return linear towers as a map; a user's vector is not divided by its length.

    Args:
        towers: trained towers.
        items: the vectors of their videos, ``[items, dim]``.
        layout: of the map; slots that the towers do not know count nothing.
    """
    tower = towers.towers["user"]
    assert isinstance(tower, SparseTower)
    weight = tower.weight.detach().numpy()
    user = np.zeros((layout.feature_dim("user") + 1, weight.shape[1]))
    places = {block.feature_id: block.offset for block in layout.user}
    for block in towers.layout.user:
        place = places[block.feature_id]
        user[place : place + block.width] = weight[block.offset : block.offset + block.width]
    user[-1] = tower.bias.detach().numpy()
    return LinearMap(user, items)


def spread(factors: LinearMap, users: sparse.csr_array, known: NDArray[np.bool_]) -> Floats:
    """Return how far each user's scores of the known videos are spread: deviations, ``[users]``."""
    vectors = users @ factors.user
    items = factors.item[known]
    centred = items - items.mean(axis=0)
    covariance = centred.T @ centred / max(len(items), 1)
    deviations: Floats = np.sqrt(
        np.maximum(np.einsum("ij,jk,ik->i", vectors, covariance, vectors, optimize=True), 0)
    )
    return deviations


def encoder(layout: Layout, factors: LinearMap) -> Callable[[Slots], torch.Tensor]:
    """Return how a map encodes users: slots to float32 ``[users, rank]``."""

    def encode(slots: Slots) -> torch.Tensor:
        return torch.from_numpy((design(layout, slots) @ factors.user).astype(np.float32))

    return encode


def joined(parts: list[tuple[float, LinearMap]]) -> LinearMap:
    """Return the weighted sum of maps; its rank is the sum of theirs."""
    return LinearMap(
        np.hstack([weight * part.user for weight, part in parts]),
        np.hstack([part.item for _, part in parts]),
    )


def reduced(
    factors: LinearMap, users: sparse.csr_array, known: NDArray[np.bool_], rank: int
) -> LinearMap:
    """Return the map of this rank that is nearest to ``factors`` on these users.

    Least squares over all scores of the known videos, each user's divided by their spread, so that
    everybody counts the same: the truncated singular value decomposition (Eckart & Young 1936) of
    users times videos, found from two matrices of ``r × r``.
    """
    moments = _moments(factors, users, known)
    basis, triangle = np.linalg.qr(factors.item[known])
    _, _, right = np.linalg.svd(_root(moments) @ triangle.T)
    kept = right[: min(rank, len(right))].T
    item = np.zeros((len(known), kept.shape[1]))
    item[known] = basis @ kept
    return LinearMap(factors.user @ triangle.T @ kept, item)


def on_the_sphere(
    factors: LinearMap, users: sparse.csr_array, known: NDArray[np.bool_]
) -> LinearMap:
    """Return the same scores from videos of length 1: one more column, whose user part is zero.

    Any invertible ``A`` leaves a map as it is: ``(z A^-1) . (A v)``. Chosen is the one under which
    no video is longer than 1 and the users' mean square length is least, so that cosines are as
    large as they can be: the factorisation behind the max-norm (Srebro, Rennie & Jaakkola 2004),
    found as an A-optimal design with multiplicative steps (Silvey, Titterington & Torsney 1978).
    What a video lacks in length goes into the last column, where no user has anything. Without the
    rotation nearly all of every vector would lie there, and an index could not tell videos apart.
    """
    items = factors.item[known]
    metric = _metric(items, _moments(factors, users, known))
    turn = linalg.cholesky(metric)  # upper: metric = turn' turn
    turned = factors.item @ turn.T
    lengths = np.linalg.norm(turned, axis=1)
    scale = max(float(lengths[known].max()), 1e-12)
    turned /= scale
    missing = np.where(known, np.sqrt(np.maximum(1 - (lengths / scale) ** 2, 0)), 0.0)
    user = linalg.solve_triangular(turn, factors.user.T, trans="T", lower=False).T
    user /= max(float(np.linalg.norm(users @ user, axis=1).mean()), 1e-12)
    return LinearMap(
        np.hstack([user, np.zeros((len(user), 1))]), np.hstack([turned, missing[:, None]])
    )


def _moments(factors: LinearMap, users: sparse.csr_array, known: NDArray[np.bool_]) -> Floats:
    """Return the second moments of the users' vectors, each divided by the spread of its scores."""
    deviations = spread(factors, users, known)
    inside = deviations > 1e-12
    vectors = (users @ factors.user)[inside] / deviations[inside, None]
    moments: Floats = vectors.T @ vectors / max(len(vectors), 1)
    return moments


def _metric(items: Floats, moments: Floats) -> Floats:
    """Return ``H`` with the least ``trace(H^-1 moments)`` under ``v' H v <= 1`` for all videos."""
    width = items.shape[1]
    moments = moments / max(np.trace(moments), 1e-30) * width + 1e-6 * np.eye(width)
    root = _root(moments)
    inverse_root = linalg.inv(root)
    floor = 1e-9 * float((items**2).sum()) / max(len(items), 1) * np.eye(width)
    weights = np.full(len(items), 1 / len(items))
    lengths = np.ones(len(items))
    for _ in range(ROTATION_STEPS):
        scatter = (items * weights[:, None]).T @ items + floor
        metric = linalg.inv(inverse_root @ _root(root @ scatter @ root) @ inverse_root)
        metric = (metric + metric.T) / 2
        lengths = np.einsum("ij,jk,ik->i", items, metric, items, optimize=True)
        lengths /= weights @ lengths
        if lengths.max() < 1 + ROTATION_TOLERANCE:
            break
        weights = weights * lengths
        weights /= weights.sum()
    return np.asarray(metric)


def _root(matrix: Floats) -> Floats:
    """Return the symmetric square root of a positive semi-definite matrix."""
    values, vectors = linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 1e-14))) @ vectors.T)
