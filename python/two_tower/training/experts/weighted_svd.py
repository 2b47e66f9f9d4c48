"""EASE at a low rank that is right where lists are made.

The nearest map of a rank has small errors everywhere. A list is made of a user's highest scores
alone, and what goes with one video and no other, as a series does, is the first that 128 dimensions
leave out. So the errors of each user's highest scores count in full and those of the others a part:
weighted low-rank approximation, in steps that each lower the weighted error (Srebro & Jaakkola
2003).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import linalg, sparse

from two_tower.core.background import raise_if_cancelled
from two_tower.training.experts.cholesky import factorised
from two_tower.training.experts.regression import Floats, Rows

# Users times videos at most: scores of 256 MB. A sample of the users would be fitted for itself.
MAX_CELLS = 2**26


def weighted_users(rows: Iterable[Rows]) -> sparse.csr_array:
    """Return all histories as the regression weighs them: ``sqrt(w) z``, the mean of ``w`` 1."""
    parts = list(rows)
    weight = np.concatenate([part.weights for part in parts])
    scale = sparse.diags_array(np.sqrt(weight / max(weight.mean(), 1e-12)))
    return sparse.csr_array(scale @ sparse.vstack([part.inputs for part in parts]))


def weighted_svd(
    solution: Floats,
    basis: Floats,
    gram: Floats,
    ridge: float,
    users: sparse.csr_array,
    places: int = 200,
    others: float = 0.1,
    steps: int = 6,
) -> tuple[Floats, Floats]:
    """Return factors of the solution that are nearest to each user's highest scores.

    Args:
        solution: the map from histories to scores, ``[columns, videos]``.
        basis: where to begin, of orthonormal columns, ``[videos, rank]``.
        gram: ``Z'WZ`` of the users, ``[columns, columns]``.
        ridge: keeps the users' factor near to the solution's own, ``solution @ item``.
        users: their weighted histories, ``[users, columns]``.
        places: each user's highest scores that count in full, known videos among them.
        others: what the others count.
        steps: of the approximation.

    Returns:
        The factor of the users, ``[columns, rank]``, and of the videos, ``[videos, rank]``.
    """
    places = min(places, solution.shape[1])
    # Low rank and a list take no more than single precision; a low penalty does.
    normal = gram.astype(np.float64)
    normal[np.diag_indices_from(normal)] += ridge
    factor = factorised(normal)
    solution, item = solution.astype(np.float32), basis.astype(np.float32)
    users = users.astype(np.float32)
    scores = users @ solution
    lowest = np.partition(scores, -places, axis=1)[:, -places, None]
    counts = np.where(scores >= lowest, np.float32(1), np.float32(others))
    user = solution @ item
    for _ in range(steps):
        raise_if_cancelled()
        near = (users @ user.astype(np.float32)) @ item.T
        # What the low rank has, corrected as far as it counts.
        near += (scores - near) * counts
        item = linalg.qr(near.T @ (near @ item), mode="economic", check_finite=False)[0]
        rest = users.T @ ((near - scores) @ item)
        user = solution @ item + linalg.cho_solve((factor, False), rest, check_finite=False)
    return user, item
