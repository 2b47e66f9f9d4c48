"""Choosing the penalty of the closed form: how much a video is trusted to say about another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.closed_form import Base, add_up, as_factors, solve
from two_tower.config import TrainConfig
from two_tower.dataset import Data
from two_tower.factors import Factors, encoder
from two_tower.towers import SparseTower
from two_tower.validation import LEAST_GAIN, validate

# The penalty that is tried first, and used where there is nobody to try on; then higher ones and
# lower ones, each as long as it gains more than chance. Few reviews a user want a high one, videos
# that come in series a low one.
RIDGE = 5.0
HIGHER = (15.0, 45.0)
LOWER = (2.0, 0.8)
# A lower one has to gain more: validation ranks people with a history, and new people pay for it.
LEAST_LOWER_GAIN = 0.015


def choose_ridge(
    config: TrainConfig,
    data: Data,
    tower: SparseTower,
    base: Base,
    rows: NDArray[np.int64],
    metric: str,
) -> tuple[float, Factors | None]:
    """Return the penalty under which the closed form ranks these users' validation likes best.

    And that closed form, with the validation fold withheld; None where it was not tried.

    Args:
        config: ``ridge``, where it is set, is not chosen.
        data: the training data.
        tower: a user tower, for how it weighs slots.
        base: the videos that it is tried on: each penalty is a matrix to invert.
        rows: users with a like in the validation fold, int64 ``[n]``, rising.
        metric: of :func:`two_tower.validation.validate`.
    """
    if config.ridge is not None or not len(rows) or not base:
        return config.ridge or RIDGE, None
    sums = add_up(config, data, tower, True, base.head)
    known = np.zeros(len(data.items), dtype=np.bool_)
    known[base.head.items] = True

    def measured(ridge: float) -> tuple[float, Factors, float]:
        factors = as_factors(config, data, base.head, sums, solve(sums, ridge, base.prior))
        vectors = torch.from_numpy(factors.item.astype(np.float32))
        found = validate(encoder(tower, factors), vectors, data, rows, known)[metric]
        return ridge, factors, found

    best = measured(RIDGE)
    for side, least in ((HIGHER, LEAST_GAIN), (LOWER, LEAST_LOWER_GAIN)):
        for ridge in side:
            other = measured(ridge)
            if other[-1] <= best[-1] * (1 + least):
                break  # what lies further on this side is worse still
            best = other
        if best[0] != RIDGE:
            break
    return best[:2]
