"""What is reviewed next, from what was reviewed just before: ridge regression without epochs.

Each review of a user is a row: regressed on those before it, the latest counting most, as the
recency block has them (compare the transitions of Choi et al. 2021, "Session-aware linear item-item
models"). Unlike the closed form of :mod:`two_tower.training.experts.ease` it knows which came
first; whether the next was liked says less of what comes after what, and that one knows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.layout import Block
from two_tower.model.linear_map import Factors
from two_tower.training.data.dataset import VALIDATION_FOLD, Data, UserRows
from two_tower.training.experts.cholesky import inverted
from two_tower.training.experts.ease import (
    Floats,
    Head,
    Sums,
    accuracy,
    as_factors,
    chunks,
    find_head,
)

# The penalty of a review before: high, since most of what came before has nothing to do with it.
RIDGE = 8.0
# Reviews the sums are taken over; more change the sums little, and take their time.
MAX_REVIEWS = 750_000


def transitions(config: TrainConfig, data: Data, withhold: bool) -> Factors | None:
    """Return the regression of reviews on those before them.

    None without a recency block, or where nobody knows the order of any.

    Args:
        config: ``closed_form_items`` and ``dim`` count.
        data: the training data.
        withhold: whether the validation fold is kept from the model.
    """
    blocks = [block for block in data.layout.user if block.kind == "recency"]
    head = find_head(data, config.closed_form_items, blocks[:1])
    if not blocks or not len(head.items):
        return None
    gram, cross = add_up(config, data, blocks[0], head, withhold)
    if not cross.any():
        return None
    gram[np.diag_indices_from(gram)] += RIDGE
    solution = inverted(gram.copy()) @ cross
    return as_factors(config, data, head, Sums(gram, cross), solution)


def add_up(
    config: TrainConfig, data: Data, block: Block, head: Head, withhold: bool
) -> tuple[Floats, Floats]:
    """Return ``Z'Z`` and ``Z'X`` over all reviews.

    Both are ``[head, head]``, times users over reviews: of the order of the closed form's sums.
    """
    rows = data.search_likers if withhold else data.likers
    most = max(int(MAX_REVIEWS * len(data.likers) / max(data.reviews, 1)), 1)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(config.seed).choice(rows, most, replace=False))
    size = len(head.items)
    place = np.full(len(data.items), -1, dtype=np.int64)
    place[head.items] = np.arange(size)
    dtype = accuracy(size)
    gram, cross = np.zeros((size, size), dtype), np.zeros((size, size), dtype)
    reviews, users = 0, 0
    for part in chunks(data, rows):
        held = (part.folds == VALIDATION_FOLD) & withhold
        inputs, targets = in_turn(part, ~held & part.in_order, place, profile(part, block))
        inputs, targets = inputs.astype(dtype), targets.astype(dtype)
        gram += (inputs.T @ inputs).toarray()
        cross += (inputs.T @ targets).toarray()
        reviews += targets.nnz
        users += len(np.unique(part.rows[part.in_order]))
    scale = users / max(reviews, 1)
    return gram * scale, cross * scale


def profile(users: UserRows, block: Block) -> Floats:
    """Return how much a user's latest review counts, the one before it, and so on, ``[places]``.

    Read off the slots: a user's values in falling order, of those who have most of them.
    """
    inside = (users.slots.positions >= block.offset) & (
        users.slots.positions < block.offset + block.width
    )
    rows, values = users.slots.rows[inside], users.slots.values[inside].astype(np.float64)
    order = np.lexsort((-values, rows))
    rows, values = rows[order], values[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    found = np.zeros(int(place.max(initial=-1)) + 1)
    np.maximum.at(found, place, values)
    return found


def in_turn(
    users: UserRows, known: NDArray[np.bool_], place: NDArray[np.int64], counts: Floats
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Return what came before each review, and the review: two matrices ``[reviews, head]``.

    Args:
        users: the users.
        known: the reviews that count, bool ``[reviews]``.
        place: of each video in the head, -1 outside, int64 ``[items]``.
        counts: how much the latest review counts, the one before it, ….
    """
    order = np.lexsort((-users.recency_ranks, users.rows))
    order = order[known[order]]
    rows, videos = users.rows[order], place[users.items[order]]
    targets = np.flatnonzero(videos >= 0)
    numbers, columns, values = [], [], []
    for back, count in enumerate(counts, start=1):
        before = targets - back
        is_one = (before >= 0) & (rows[before] == rows[targets]) & (videos[before] >= 0)
        numbers.append(np.flatnonzero(is_one))
        columns.append(videos[before[is_one]])
        values.append(np.full(int(is_one.sum()), count))
    shape = (len(targets), int(place.max()) + 1)
    if not numbers:
        return sparse.csr_array(shape), sparse.csr_array(shape)
    inputs = sparse.csr_array(
        (np.concatenate(values), (np.concatenate(numbers), np.concatenate(columns))), shape=shape
    )
    norms = np.sqrt(inputs.power(2).sum(axis=1))
    inputs = sparse.csr_array(sparse.diags_array(1 / np.where(norms > 0, norms, 1)) @ inputs)
    one = (np.ones(len(targets)), (np.arange(len(targets)), videos[targets]))
    return inputs, sparse.csr_array(one, shape=shape)
