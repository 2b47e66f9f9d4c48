"""Choosing EASE's penalty: how much a video is trusted to say about another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap, encoder
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import METRIC, least_gain, validate
from two_tower.training.experts.ease import RIDGE, add_up, precision, solve
from two_tower.training.experts.regression import (
    MOST_LIKED,
    Floats,
    Head,
    find_head,
    histories,
    low_rank,
)

# The penalties that are tried beside the default: higher ones, then lower ones, each as long as it
# gains more than chance. Few reviews a user want a high one, videos that come in series a low one
# (docs/quality.md).
HIGHER = (15.0, 45.0)
LOWER = (2.0, 0.8)


class Tried(NamedTuple):
    """A penalty, and EASE with it on the videos it was tried on; None where nobody was asked."""

    ridge: float
    head: Head
    closed: LinearMap | None = None  # of the rank of the embeddings
    solution: Floats | None = None  # of full rank, [head, head]


def measured(
    factors: LinearMap,
    data: Data,
    head: Head,
    rows: NDArray[np.int64],
    metric: str,
    few: int | None = None,
) -> float:
    """Return a metric of these users' lists of the head's videos."""
    vectors = torch.from_numpy(factors.item.astype(np.float32))
    encode = encoder(data.layout, factors)
    return validate(encode, vectors, data, rows, head.place >= 0, few)[metric]


def choose_ridge(config: TrainConfig, data: Data, rows: NDArray[np.int64]) -> Tried:
    """Return the penalty under which EASE ranks these users' validation likes best.

    Each penalty is a matrix to invert: it is tried on the most liked videos.

    Args:
        config: ``ridge``, where it is set, is not chosen.
        data: the training data without the validation fold.
        rows: users with a like in the validation fold, int64 ``[n]``, rising.
    """
    head = find_head(data, min(config.closed_form_items, MOST_LIKED), histories(data)[:1])
    if not len(rows) or not len(head):
        return Tried(config.ridge or RIDGE, head)
    sums, prior = add_up(config, data, head), precision(data, head.items)

    def solved(ridge: float) -> Tried:
        solution = solve(sums, ridge, prior)
        return Tried(ridge, head, low_rank(config, data, head, sums, solution), solution)

    def value_of(tried: Tried, few: int | None = None) -> float:
        assert tried.closed is not None
        return measured(tried.closed, data, head, rows, METRIC, few)

    if config.ridge is not None:
        return solved(config.ridge)
    best = solved(RIDGE)
    value = value_of(best)
    for side in (HIGHER, LOWER):
        for ridge in side:
            other = solved(ridge)
            found = value_of(other)
            if found <= value * (1 + least_gain(len(rows))):
                break  # what lies further on this side is worse still
            if side is LOWER:
                # The few likes of a new user have to tell all: it must not cost people of three
                # likes more than it gives to the others (docs/quality.md).
                before, after = (value_of(each, 3) for each in (best, other))
                if found * after <= value * before:
                    break
            best, value = other, found
        if best.ridge != RIDGE:
            break
    return best
