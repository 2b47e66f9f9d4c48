"""Peers that are libraries: ALS and BPR of `implicit`, WARP of `lightfm`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from lightfm import LightFM
from scipy import sparse

from benchmarks.quality.exchange import Ints, Problem
from benchmarks.quality.peers.base import Scores

THREADS = 2
MAX_TAGS = 20  # of a user, as in the project's `preferred_tag_ids`


@dataclass(frozen=True)
class Factors:
    """A fitted model of `implicit`."""

    model: Any

    def scores(self, users: Ints) -> Scores:
        """See :class:`Model`."""
        found: Scores = self.model.user_factors[users] @ self.model.item_factors.T
        return found


@dataclass(frozen=True)
class AlsFactors(Factors):
    """ALS also folds newcomers in.

    Attributes:
        like: how much a like of theirs counts, as in what the model was fitted on.
    """

    like: float

    def scores_of_likes(self, likes: sparse.csr_matrix) -> Scores:
        """See :class:`FoldIn`."""
        counts = (likes * self.like).astype(np.float32)
        rows = self.model.recalculate_user(np.arange(likes.shape[0]), counts)
        found: Scores = np.asarray(rows) @ self.model.item_factors.T
        return found


def als(
    problem: Problem, graded: bool, factors: int, alpha: float, regularization: float
) -> AlsFactors:
    """ALS for implicit feedback (Hu et al. 2008)."""
    model = AlternatingLeastSquares(
        factors=factors,
        alpha=alpha,
        regularization=regularization,
        random_state=0,
        num_threads=THREADS,
    )
    found = problem.found(graded)
    # alpha * r would count 2 stars less than a video that was never seen: 1 + alpha * r.
    more = 1 / alpha if graded else 0.0
    found.data += more
    model.fit(found, show_progress=False)
    return AlsFactors(model, 1 + more)


def bpr(
    problem: Problem, factors: int, learning_rate: float, regularization: float, iterations: int
) -> Factors:
    """Bayesian personalised ranking (Rendle et al. 2009)."""
    model = BayesianPersonalizedRanking(
        factors=factors,
        learning_rate=learning_rate,
        regularization=regularization,
        iterations=iterations,
        random_state=0,
        num_threads=THREADS,
    )
    model.fit(problem.likes(), show_progress=False)
    return Factors(model)


@dataclass(frozen=True)
class Hybrid:
    """A fitted LightFM as vectors and biases of users and items."""

    users: tuple[Scores, Scores]
    items: tuple[Scores, Scores]

    def scores(self, users: Ints) -> Scores:
        """See :class:`Model`."""
        found: Scores = self.users[1][users] @ self.items[1].T + self.items[0]
        return found


def warp(problem: Problem, components: int, epochs: int, alpha: float) -> Hybrid:
    """LightFM with WARP on ids alone."""
    return _fit(problem, None, None, components, epochs, alpha)


def warp_features(
    problem: Problem, id_as: str, components: int, epochs: int, alpha: float
) -> Hybrid:
    """LightFM with WARP on ids and features (Kula 2015).

    Videos have the project's item features; users the tags they liked most, counted on the very
    reviews that the model is fitted on. ``id_as`` is ``feature``, LightFM's own way, in which an id
    weighs as much as one feature, or ``half``, in which it weighs as much as all of them: better
    for known videos, worse for new ones.
    """
    item_features = _with_id(problem.item_features, id_as)
    tags = problem.item_features[:, problem.is_tag]
    user_features = _with_id(_most(problem.likes() @ tags, MAX_TAGS), id_as)
    return _fit(problem, user_features, item_features, components, epochs, alpha)


def _fit(
    problem: Problem,
    user_features: sparse.csr_matrix | None,
    item_features: sparse.csr_matrix | None,
    components: int,
    epochs: int,
    alpha: float,
) -> Hybrid:
    model = LightFM(
        no_components=components, loss="warp", item_alpha=alpha, user_alpha=alpha, random_state=0
    )
    model.fit(
        problem.likes().tocoo(),
        user_features=user_features,
        item_features=item_features,
        epochs=epochs,
        num_threads=THREADS,
    )
    return Hybrid(
        model.get_user_representations(user_features),
        model.get_item_representations(item_features),
    )


def _with_id(features: sparse.csr_matrix, id_as: str) -> sparse.csr_matrix:
    """Return an id column a row and the row's features.

    ``feature``: all of one weight, with the sum 1; ``half``: the id has 1, the features 1 together.
    """
    ones = (features != 0).astype(np.float32)
    counts = np.asarray(ones.sum(axis=1)).ravel()
    each = 1 / np.maximum(counts, 1) if id_as == "half" else 1 / (counts + 1)
    own = np.ones(len(counts)) if id_as == "half" else each
    whole = sparse.hstack([sparse.diags(own), sparse.diags(each) @ ones], format="csr")
    return whole.astype(np.float32)


def _most(counts: sparse.csr_matrix, kept: int) -> sparse.csr_matrix:
    """Return ones where a row has its highest counts."""
    dense = counts.toarray()
    if dense.shape[1] > kept:
        threshold = np.partition(dense, -kept, axis=1)[:, -kept]
        dense[dense < threshold[:, None]] = 0
    return sparse.csr_matrix((dense > 0).astype(np.float32))
