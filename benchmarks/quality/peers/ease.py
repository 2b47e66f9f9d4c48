"""EASE: ridge regression of histories on themselves without the diagonal (Steck 2019).

With more than the likes as inputs: all reviews as a second block, and features as further rows
(Jeunen et al. 2020, "Closed-form models for collaborative filtering with side-information").
"""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse

from benchmarks.quality.exchange import Problem
from benchmarks.quality.peers.base import LinearModel, Scores


def ease(problem: Problem, graded: bool, penalty: float) -> LinearModel:
    """EASE as published: ``B = I - P diag(1 / diag(P))``; a history is what is to be found."""
    found = problem.found(graded)
    gram = (found.T @ found).toarray()
    gram[np.diag_indices_from(gram)] += penalty
    inverse = _inverse(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return LinearModel(found, weights)


def ease_all(
    problem: Problem,
    penalty: float,
    review_penalty: float,
    feature_weight: float,
    dislike: float,
) -> LinearModel:
    """EASE with the inputs that ours has: likes, all reviews, and the videos' features.

    A video's own two columns ``S`` are held at zero for its own target, which is 1 for a like,
    ``dislike`` for another review and its feature in the further rows ``F``. With ``P`` the inverse
    of the regularised Gram matrix, ``e = (1 - dislike, dislike)`` and ``B0`` what
    ``dislike * F'F`` adds on the right, ``B_i = B0_i - P[:, S] P[S, S]^-1 (e + B0_i[S])`` outside
    ``S``.
    """
    likes, reviews = problem.likes(), problem.reviews()
    items = likes.shape[1]
    history = sparse.hstack([likes, reviews], format="csr")
    gram = (history.T @ history).toarray()
    features = problem.item_features
    sides = feature_weight * (features @ features.T).toarray()
    gram[:items, :items] += sides
    gram[np.diag_indices_from(gram)] += np.repeat([penalty, review_penalty], items)
    inverse = _inverse(gram.astype(np.float32))
    own = np.arange(items)
    a, b, d = inverse[own, own], inverse[own, items + own], inverse[items + own, items + own]
    determinant = a * d - b * b
    weights = inverse[:, :items] @ (dislike * sides).astype(np.float32)
    like, review = 1 - dislike + weights[own, own], dislike + weights[items + own, own]
    first, second = (d * like - b * review) / determinant, (a * review - b * like) / determinant
    weights -= inverse[:, :items] * first + inverse[:, items:] * second
    weights[own, own] = 0
    weights[items + own, own] = 0
    return LinearModel(history, weights, columns_per_like=2)


def _inverse(matrix: Scores) -> Scores:
    """Return the inverse of a positive definite matrix, which is overwritten."""
    factor = linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    inverse, _ = linalg.lapack.get_lapack_funcs(("potri",), (factor,))[0](factor, lower=True)
    lower = np.tril(inverse)
    full: Scores = lower + np.tril(inverse, -1).T
    return full
