"""Choosing the penalty of the closed form: how much a video is trusted to say about another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.closed_form import Floats, add_up, as_factors, find_head, precision, solve
from two_tower.config import TrainConfig
from two_tower.dataset import Data
from two_tower.factors import Factors, encoder
from two_tower.towers import SparseTower
from two_tower.validation import validate

# The penalties that are tried, rising, as long as each is better; and the one used where there is
# nobody to try on. Few reviews a user want a high one.
RIDGES = (8.0, 24.0, 72.0)
RIDGE = 8.0
# They are tried on so many of the most liked videos: each is a matrix to invert.
MAX_TRIED_ITEMS = 2_000


def choose_ridge(
    config: TrainConfig,
    data: Data,
    tower: SparseTower,
    prior: Floats,
    rows: NDArray[np.int64],
    metric: str,
) -> tuple[float, Factors | None]:
    """Return the penalty under which the closed form ranks these users' validation likes best.

    And that closed form, with the validation fold withheld, where it was tried on all its videos.

    Args:
        config: ``ridge``, where it is set, is not chosen.
        data: the training data.
        tower: a user tower, for how it weighs slots.
        prior: :func:`two_tower.closed_form.precision` of the videos that the closed form covers.
        rows: users with a like in the validation fold, int64 ``[n]``, rising.
        metric: of :func:`two_tower.validation.validate`.
    """
    blocks = [block for block in data.layout.user if block.kind == "history"]
    head = find_head(data, min(config.closed_form_items, MAX_TRIED_ITEMS), blocks)
    if config.ridge is not None or not len(rows) or not len(head.items) or not len(head.columns):
        return config.ridge or RIDGE, None
    covers_all = len(head.items) == len(prior)
    sums = add_up(config, data, tower, True, head)
    shape = prior if covers_all else precision(data, head.items)
    known = np.zeros(len(data.items), dtype=np.bool_)
    known[head.items] = True
    best, best_factors, most = RIDGE, None, -1.0
    for ridge in RIDGES:
        factors = as_factors(config, data, head, sums, solve(sums, ridge, shape))
        vectors = torch.from_numpy(factors.item.astype(np.float32))
        found = validate(encoder(tower, factors), vectors, data, rows, known)[metric]
        if found <= most:  # a still higher one is worse still
            break
        best, best_factors, most = ridge, factors, found
    return best, best_factors if covers_all else None
