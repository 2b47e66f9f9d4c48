"""iALS as tuned in Rendle et al. 2021, "Revisiting the performance of iALS on item recommendation".

The loss is ``sum_observed r (1 - s)^2 + alpha0 sum_all s^2 + penalty (sum_u (n_u + alpha0 items)^nu
|w_u|^2 + sum_i (n_i + alpha0 users)^nu |h_i|^2)`` with ``nu = 1``, and ``r`` 1 or a grade.
`implicit` has no penalty that grows with the number of observations, hence this one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from benchmarks.quality.exchange import Ints, Problem
from benchmarks.quality.peers.base import Scores

DIM = 128
EPOCHS = 16
START = 0.1  # standard deviation of the start, over sqrt(dim)


@dataclass(frozen=True)
class Factors:
    """Two matrices of factors, float32 ``[users, DIM]`` and ``[items, DIM]``."""

    users: Scores
    items: Scores
    alpha0: float
    penalty: float

    def scores(self, users: Ints) -> Scores:
        """See :class:`Model`."""
        return self.users[users] @ self.items.T

    def scores_of_likes(self, likes: sparse.csr_matrix) -> Scores:
        """See :class:`FoldIn`: one more half-step for the newcomers."""
        return solve(likes, self.items, self.alpha0, self.penalty) @ self.items.T


def ials(problem: Problem, graded: bool, alpha0: float, penalty: float) -> Factors:
    """Alternate between the users and the items; a grade is how much an observation counts."""
    found = problem.found(graded)
    columns = found.T.tocsr()
    rng = np.random.default_rng(0)
    items = rng.normal(0, START / np.sqrt(DIM), (problem.shape[1], DIM)).astype(np.float32)
    for _ in range(EPOCHS):
        users = solve(found, items, alpha0, penalty)
        items = solve(columns, users, alpha0, penalty)
    return Factors(users, items, alpha0, penalty)


def solve(rows: sparse.csr_matrix, other: Scores, alpha0: float, penalty: float) -> Scores:
    """Return the best factors of the rows, ``[rows, DIM]``, given those of the columns."""
    every = alpha0 * (other.T @ other)
    diagonal = np.diag_indices_from(every)
    sums = np.asarray(rows @ other, dtype=np.float32)
    out = np.zeros_like(sums)
    for row in range(rows.shape[0]):
        here = slice(rows.indptr[row], rows.indptr[row + 1])
        mine = other[rows.indices[here]]
        system = every + mine.T @ (mine * rows.data[here, None])
        system[diagonal] += penalty * (len(mine) + alpha0 * len(other))
        _, out[row], _ = lapack.sposv(system, sums[row], lower=True, overwrite_a=True)
    return out
