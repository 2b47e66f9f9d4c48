"""EASE over sessions: two videos reviewed in one session have more in common than two years apart.

The rows of the regression are runs of ``RUN`` reviews, one after the other, and the penalty is a
quarter of that of EASE over users, which says what goes together at all (ADR 13). Reviews of which
nobody knows the order are in no session.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap
from two_tower.training.data.dataset import Data, UserRows
from two_tower.training.experts import ease, regression
from two_tower.training.experts.regression import MOST_LIKED, Head, Rows, Sums

name = "session_ease"
weights: tuple[float, ...] = (0.15, 0.0, 0.3)
least_gain = 0.0

# Reviews in a run. Runs begin at every user's first review, and again half a run later (ADR 13).
RUN = 30


def applies(config: TrainConfig, data: Data) -> bool:
    """Return whether a history knows any video."""
    return len(head_of(config, data)) > 0


def head_of(config: TrainConfig, data: Data) -> Head:
    """Return the videos it covers, by all histories."""
    return regression.find_head(
        data, min(config.closed_form_items, MOST_LIKED), regression.histories(data)
    )


def fit(config: TrainConfig, data: Data) -> LinearMap | None:
    """Regress the reviews of sessions on each other; None where nobody knows their order."""
    head, ridge = head_of(config, data), (config.ridge or ease.RIDGE) / 4
    sums = add_up(config, data, head)
    if not sums.cross.any():
        return None
    solution = ease.solve(sums, ridge, ease.precision(data, head.items))
    return regression.low_rank(config, data, head, sums, solution)


def add_up(config: TrainConfig, data: Data, head: Head) -> Sums:
    """Pass over the users once, or over a million reviews: more change the sums little."""
    rows = regression.sample(data, regression.users_with(data, 1_000_000), config.seed)
    return regression.mean_per_user(rows_of, data, head, rows)


def rows_of(data: Data, head: Head, rows: NDArray[np.int64]) -> Iterator[Rows]:
    """Yield a row a session, in each phase; it weighs as many as it has reviews."""
    for part in regression.chunks(data, rows):
        ordered = ~part.held & part.in_order
        known = ordered & (head.place[part.items] >= 0)
        videos = head.place[part.items[known]]
        users = len(np.unique(part.rows[part.in_order]))
        if not len(videos):
            past, targets = (sparse.csr_array((0, n)) for n in (head.columns.size, len(head)))
            yield Rows(past, targets, np.zeros(0), users)
            continue
        inputs = regression.inputs_of(data, part)
        values = [
            np.asarray(inputs[part.rows[known], columns[videos]]).ravel()
            for columns in head.columns
        ]
        relevance = part.relevances[known].astype(np.float64)
        for phase in (0, 1):
            session = sessions(part, ordered, phase)[known]
            shape = (int(session.max(initial=-1)) + 1, len(head))
            *past, targets = (_run(each, session, videos, shape) for each in (*values, relevance))
            weights = np.bincount(session, minlength=shape[0]) / 2
            yield Rows(sparse.hstack(past).tocsr(), targets, weights, 0 if phase else users)


def sessions(users: UserRows, known: NDArray[np.bool_], phase: int) -> NDArray[np.int64]:
    """Return the number of each review's session, int64 ``[reviews]``; unknown reviews have 0.

    Those of phase 1 begin half a run later than those of phase 0.
    """
    order = regression.in_turn(users, known)
    rows = users.rows[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    turn = (place + phase * RUN // 2) // RUN
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = (rows[1:] != rows[:-1]) | (turn[1:] != turn[:-1])
    found = np.zeros(len(users.rows), dtype=np.int64)
    found[order] = np.cumsum(is_first) - 1
    return found


def _run(
    values: NDArray[np.float64],
    session: NDArray[np.int64],
    videos: NDArray[np.int64],
    shape: tuple[int, int],
) -> sparse.csr_array:
    """Return sessions as rows of length 1, without their zeros."""
    matrix = sparse.csr_array((values, (session, videos)), shape=shape)
    matrix.eliminate_zeros()
    return regression.unit(matrix)
