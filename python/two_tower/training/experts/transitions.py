"""What is reviewed next, from what was reviewed just before: ridge regression without epochs.

Each review of a user is a row: regressed on those before it, the latest counting most, as the
recency block has them (compare the transitions of Choi et al. 2021, "Session-aware linear item-item
models"). EASE does not know which came first. Whether the next was liked says less of what comes
after what.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.layout import Block
from two_tower.model.linear_map import LinearMap
from two_tower.training.data.dataset import Data, UserRows
from two_tower.training.experts import regression
from two_tower.training.experts.cholesky import inverted
from two_tower.training.experts.regression import Floats, Head, Rows, Sums

name = "transitions"
weights: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6)
# They have a block to themselves, of a slot a video, and have to be worth it (ADR 12).
least_gain = 0.01

# Its penalty: high, since most of what came before has nothing to do with a review (ADR 12).
TRANSITION_RIDGE = 8.0


def applies(config: TrainConfig, data: Data) -> bool:
    """Return whether it is asked what comes next; of what came before it says nothing."""
    return data.asks_next and len(head_of(config, data)) > 0


def head_of(config: TrainConfig, data: Data) -> Head:
    """Return the videos it covers."""
    return regression.find_head(data, config.closed_form_items, _recency(data))


def fit(config: TrainConfig, data: Data) -> LinearMap | None:
    """Regress reviews on those before them; None where nobody knows the order of any."""
    head = head_of(config, data)
    sums = add_up(config, data, head)
    if not sums.cross.any():
        return None
    sums.gram[np.diag_indices_from(sums.gram)] += TRANSITION_RIDGE
    solution = inverted(sums.gram.copy()) @ sums.cross
    return regression.low_rank(config, data, head, sums, solution)


def add_up(config: TrainConfig, data: Data, head: Head) -> Sums:
    """Pass over the users once, or over 750,000 reviews: more change the sums little.

    They are divided by the reviews a user, to be of the order of EASE's.
    """
    rows = regression.sample(data, regression.users_with(data, 750_000), config.seed)
    sums, reviews, users = regression.accumulated(rows_of, data, head, rows)
    scale = users / max(reviews, 1)
    return Sums(sums.gram * scale, sums.cross * scale)


def rows_of(data: Data, head: Head, rows: NDArray[np.int64]) -> Iterator[Rows]:
    """Yield a row a review: those before it, and itself."""
    (block,) = _recency(data)
    for part in regression.chunks(data, rows):
        known = ~part.held & part.in_order
        inputs, targets = in_turn(part, known, head.place, profile(part, block))
        users = len(np.unique(part.rows[part.in_order]))
        yield Rows(inputs, targets, np.ones(targets.shape[0]), users)


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
    order = regression.in_turn(users, known)
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
    one = (np.ones(len(targets)), (np.arange(len(targets)), videos[targets]))
    return regression.unit(inputs), sparse.csr_array(one, shape=shape)


def _recency(data: Data) -> list[Block]:
    return [block for block in data.layout.user if block.kind == "recency"][:1]
