"""What is known of somebody before their first like: what everybody likes, and who they are.

A ridge regression of likes on users' categories, within the span of the videos' vectors (a
regression prior, as of Agarwal & Chen 2009). It is added to every user's vector. The vector of
somebody with many likes is long, so the prior fades as likes come.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import Floats, LinearMap, design
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import first_or_best
from two_tower.training.experts import regression

# Of as many people a category says half of what it seems to say.
PENALTY = 30.0
# What directions of the videos' vectors are shrunk by, as a share of the mean of their squares.
SHRINKAGE = 0.02
# Lengths of what everybody likes that are tried, as shares of users' mean length.
SIZES = (0.0, 0.03, 0.06, 0.09, 0.13, 0.18, 0.25)
# So many likes somebody shows who is new.
FEW = (1, 3)
# The share of the metric that people of whom all is known may lose to it.
MOST_LOST = 0.002
MOST_USERS = 200_000

Measure = Callable[[LinearMap, int | None], float]


def fit(config: TrainConfig, data: Data, placed: LinearMap) -> Floats:
    """Return the prior in rows of a map's ``user``, ``[user_feature_dim + 1, rank]``.

    The last row, of what everybody likes, has length 1, or 0 where nobody likes anything.

    Args:
        config: the run's settings.
        data: users are those whom a model is fitted on.
        placed: all videos on the sphere; in the last column no user has anything.
    """
    columns = _profile(data)
    known = np.flatnonzero(data.known)
    vectors = placed.item[known][:, :-1]
    if config.novelty:
        vectors = vectors * ((data.like_counts[known] + 1.0) ** -config.novelty)[:, None]
    place = np.full(len(data.items), -1)
    place[known] = np.arange(len(known))
    gram, count = np.zeros((len(columns), len(columns))), np.zeros(len(columns))
    cross, total, users = np.zeros((len(columns), vectors.shape[1])), np.zeros(vectors.shape[1]), 0
    for part in regression.chunks(data, regression.sample(data, MOST_USERS, config.seed)):
        liked = part.liked & ~part.held & (place[part.items] >= 0)
        cells = (np.ones(int(liked.sum())), (part.rows[liked], place[part.items[liked]]))
        tastes = sparse.csr_array(cells, shape=(len(part), len(known))) @ vectors
        profiles = design(data.layout, part.slots).tocsc()[:, columns]
        gram += (profiles.T @ profiles).toarray()
        cross += profiles.T @ tastes
        count += profiles.sum(axis=0)
        total += tastes.sum(axis=0)
        users += len(part)
    square = placed.item[known][:, :-1].T @ placed.item[known][:, :-1]
    square += (SHRINKAGE * np.trace(square) / len(square) + 1e-12) * np.eye(len(square))
    found = np.zeros((data.layout.feature_dim("user") + 1, placed.rank))
    mean = total / max(users, 1)
    found[-1, :-1] = linalg.solve(square, mean, assume_a="pos")
    if len(columns):
        own = np.linalg.solve(gram + PENALTY * np.eye(len(gram)), cross - np.outer(count, mean))
        found[columns, :-1] = linalg.solve(square, own.T, assume_a="pos").T
    return np.asarray(found / max(float(np.linalg.norm(found[-1])), 1e-12))


def added(placed: LinearMap, prior: Floats, users: sparse.csr_array, size: float) -> LinearMap:
    """Return the map with a prior of this size, a share of the mean length of ``users``.

    Args:
        placed: the map.
        prior: as :func:`fit` returns it.
        users: the design of some users, ``[users, user_feature_dim + 1]``.
        size: length of what everybody likes, as a share.
    """
    length = float(np.linalg.norm(users @ placed.user, axis=1).mean())
    return LinearMap(placed.user + size * length * prior, placed.item)


def choose(
    placed: LinearMap, prior: Floats, users: sparse.csr_array, measure: Measure, least_gain: float
) -> float:
    """Return the size at which somebody new is served best, and others lose next to nothing.

    It is 0 where new people gain no more than chance.

    Args:
        placed: the map without it.
        prior: as :func:`fit` returns it.
        users: the design of some users.
        measure: metric of a map for people who show so many likes, or all of theirs.
        least_gain: the share of the metric that is more than chance.
    """
    found: list[float] = []
    least = (1 - MOST_LOST) * measure(placed, None)
    for size in SIZES:
        tried = added(placed, prior, users, size)
        known = measure(tried, None) if size else least
        found.append(float(np.mean([measure(tried, few) for few in FEW])) * (known >= least))
    return SIZES[first_or_best(found, least_gain)]


def _profile(data: Data) -> NDArray[np.int64]:
    """Return the places of all categories."""
    blocks = [block for block in data.layout.user if block.kind == "profile"]
    places = [block.offset + np.arange(block.width) for block in blocks]
    return np.concatenate([np.zeros(0, np.int64), *places]).astype(np.int64)
