"""What goes together in one sitting: the closed form over runs of reviews instead of whole users.

Two videos that one person reviewed in the same sitting have more in common than two that years
lie between. The rows of the regression are therefore runs of ``SITTING`` reviews, one after the
other, and the penalty is low: beside the closed form of :mod:`two_tower.training.experts.ease`,
which says what goes together at all, this one may say less of it, and that more sharply. Reviews of
which nobody knows the order are in no sitting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import design
from two_tower.model.towers import SparseTower
from two_tower.training.data.batches import hide
from two_tower.training.data.dataset import VALIDATION_FOLD, Data, UserRows
from two_tower.training.experts.ease import Head, Sums, accuracy, chunks

# Reviews in a run. Runs begin at every user's first review, and again half a run later.
SITTING = 30
PHASES = 2
# The penalty beside that of the closed form.
RIDGE_SHARE = 1 / 4
# Reviews the sums are taken over; more change the sums little, and take their time.
MAX_REVIEWS = 1_000_000


def add_up(config: TrainConfig, data: Data, tower: SparseTower, withhold: bool, head: Head) -> Sums:
    """Pass over the users once; of more than ``MAX_REVIEWS`` reviews a sample of the users.

    A sitting weighs as many as it has reviews.
    """
    rows = data.search_likers if withhold else data.likers
    most = max(int(MAX_REVIEWS * len(data.likers) / max(data.reviews, 1)), 1)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(config.seed).choice(rows, most, replace=False))
    blocks, size = head.columns.shape
    place = np.full(len(data.items), -1, dtype=np.int64)
    place[head.items] = np.arange(size)
    dtype = accuracy(blocks * size)
    gram = np.zeros((blocks * size, blocks * size), dtype)
    cross = np.zeros((blocks * size, size), dtype)
    reviews, users = 0, 0
    for part in chunks(data, rows):
        held = (part.folds == VALIDATION_FOLD) & withhold
        ordered = ~held & part.in_order
        known = ordered & (place[part.items] >= 0)
        videos = place[part.items[known]]
        users += len(np.unique(part.rows[part.in_order]))
        if not len(videos):
            continue
        slots = design(tower, hide(data.layout, data.items, part, held)).tocsr()
        values = [
            np.asarray(slots[part.rows[known], columns[videos]]).ravel() for columns in head.columns
        ]
        relevance = part.relevances[known].astype(np.float64)
        reviews += len(videos)
        for phase in range(PHASES):
            sitting = in_sittings(part, ordered, phase)[known]
            shape = (int(sitting.max(initial=-1)) + 1, size)
            inputs = sparse.hstack(
                [_unit(sparse.csr_array((each, (sitting, videos)), shape=shape)) for each in values]
            ).tocsr()
            targets = _unit(sparse.csr_array((relevance, (sitting, videos)), shape=shape))
            weights = np.bincount(sitting, minlength=shape[0]) / PHASES
            inputs, targets = inputs.astype(dtype), targets.astype(dtype)
            weighted = (inputs * weights[:, None].astype(dtype)).T.tocsr()
            gram += (weighted @ inputs).toarray()
            cross += (weighted @ targets).toarray()
    mean = max(reviews / max(users, 1), 1e-12)
    return Sums(gram / mean, cross / mean)


def in_sittings(users: UserRows, known: NDArray[np.bool_], phase: int) -> NDArray[np.int64]:
    """Return the number of each review's sitting, int64 ``[reviews]``; unknown reviews have 0.

    Args:
        users: the users.
        known: the reviews that count, bool ``[reviews]``.
        phase: 0..``PHASES`` - 1: how late the first sittings end.
    """
    order = np.lexsort((-users.recency_ranks, users.rows))
    order = order[known[order]]
    rows = users.rows[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    turn = (place + phase * SITTING // PHASES) // SITTING
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = (rows[1:] != rows[:-1]) | (turn[1:] != turn[:-1])
    found = np.zeros(len(users.rows), dtype=np.int64)
    found[order] = np.cumsum(is_first) - 1
    return found


def _unit(matrix: sparse.csr_array) -> sparse.csr_array:
    """Return the matrix with rows of length 1, and without its zeros."""
    matrix.eliminate_zeros()
    norms = np.sqrt(matrix.power(2).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1 / np.where(norms > 0, norms, 1)) @ matrix)
