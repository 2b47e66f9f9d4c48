"""Choosing the penalty of the closed form: how much a video is trusted to say about another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import Factors, encoder
from two_tower.model.towers import SparseTower
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import least_gain, validate
from two_tower.training.experts.ease import Base, Floats, add_up, as_factors, solve

# The penalty that is tried first, and used where there is nobody to try on; then higher ones and
# lower ones, each as long as it gains more than chance. Few reviews a user want a high one, videos
# that come in series a low one.
RIDGE = 5.0
HIGHER = (15.0, 45.0)
LOWER = (2.0, 0.8)
# A lower one trusts what few people have told, and the few likes of a new user have to tell all: it
# must not cost people of so many likes more than it gives to people with a history.
FEW = 3


class Tried(NamedTuple):
    """A penalty, and the closed form with it, the validation fold withheld.

    Attributes:
        ridge: the penalty.
        closed: of the rank of the embeddings; None where there is nothing to solve.
        solution: of full rank, as :func:`two_tower.training.experts.ease.solve` returns it; None
            as well.
    """

    ridge: float
    closed: Factors | None = None
    solution: Floats | None = None


def choose_ridge(
    config: TrainConfig,
    data: Data,
    tower: SparseTower,
    base: Base,
    rows: NDArray[np.int64],
    metric: str,
) -> Tried:
    """Return the penalty under which the closed form ranks these users' validation likes best.

    Args:
        config: ``ridge``, where it is set, is not chosen.
        data: the training data.
        tower: a user tower, for how it weighs slots.
        base: the videos that it is tried on: each penalty is a matrix to invert.
        rows: users with a like in the validation fold, int64 ``[n]``, rising.
        metric: of :func:`two_tower.training.data.validation.validate`.
    """
    if not len(rows) or not base:
        return Tried(config.ridge or RIDGE)
    sums = add_up(config, data, tower, True, base.head)
    known = np.zeros(len(data.items), dtype=np.bool_)
    known[base.head.items] = True

    def solved(ridge: float) -> Tried:
        solution = solve(sums, ridge, base.prior)
        return Tried(ridge, as_factors(config, data, base.head, sums, solution), solution)

    def measured(tried: Tried, few: int | None = None) -> float:
        factors = tried.closed
        assert factors is not None
        vectors = torch.from_numpy(factors.item.astype(np.float32))
        return validate(encoder(tower, factors), vectors, data, rows, known, few)[metric]

    if config.ridge is not None:
        return solved(config.ridge)
    best = solved(RIDGE)
    value = measured(best)
    for side in (HIGHER, LOWER):
        for ridge in side:
            other = solved(ridge)
            found = measured(other)
            if found <= value * (1 + least_gain(len(rows))):
                break  # what lies further on this side is worse still
            if side is LOWER:
                before, after = (measured(each, FEW) for each in (best, other))
                if found * after <= value * before:
                    break
            best, value = other, found
        if best.ridge != RIDGE:
            break
    return best
