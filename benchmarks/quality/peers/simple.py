"""Peers of a few lines: chance, popularity, item-kNN, content-kNN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from benchmarks.quality.exchange import Ints, Problem
from benchmarks.quality.peers.base import LinearModel, Scores


@dataclass(frozen=True)
class SameForAll:
    """Everybody gets the same scores, float32 ``[items]``."""

    row: Scores

    def scores(self, users: Ints) -> Scores:
        """See :class:`Model`."""
        return np.tile(self.row, (len(users), 1))

    def scores_of_likes(self, likes: sparse.csr_matrix) -> Scores:
        """See :class:`FoldIn`."""
        return np.tile(self.row, (likes.shape[0], 1))


@dataclass(frozen=True)
class Chance:
    """Everybody gets draws of their own."""

    items: int

    def scores(self, users: Ints) -> Scores:
        """See :class:`Model`."""
        rng = np.random.default_rng(0)
        return rng.random((len(users), self.items), dtype=np.float32)


def chance(problem: Problem) -> Chance:
    """Videos at random."""
    return Chance(problem.shape[1])


def popularity(problem: Problem) -> SameForAll:
    """The most liked videos."""
    likes = np.bincount(problem.items[problem.liked], minlength=problem.shape[1])
    return SameForAll(likes.astype(np.float32))


def item_knn(problem: Problem, graded: bool, neighbours: int, shrink: float) -> LinearModel:
    """Item-kNN (Sarwar et al. 2001): a video counts those of its neighbours in a history.

    Cosine of the videos' columns, with ``shrink`` added to the product of the norms; each video
    keeps its own nearest.
    """
    found = problem.found(graded)
    product = (found.T @ found).toarray()
    norms = np.sqrt(np.diag(product))
    similar = product / (np.outer(norms, norms) + shrink + 1e-9)
    np.fill_diagonal(similar, 0)
    kept = min(neighbours, len(similar) - 1)
    threshold = np.partition(similar, -kept, axis=1)[:, -kept]
    similar[similar < threshold[:, None]] = 0
    return LinearModel(found, sparse.csr_matrix(similar.T.astype(np.float32)))


def content_knn(problem: Problem, idf: bool, own_norm: bool) -> LinearModel:
    """Videos whose features are like those of the liked ones: cosine of feature vectors, summed.

    ``idf`` weighs a feature by the log of how rare it is; ``own_norm`` divides each video's
    features by their length (otherwise a video with many features is like many others).
    """
    features = problem.item_features.astype(np.float32)
    if idf:
        count = np.maximum(np.bincount(features.indices, minlength=features.shape[1]), 1)
        features = features @ sparse.diags(np.log(features.shape[0] / count).astype(np.float32))
    if own_norm:
        norms = np.sqrt(np.asarray(features.multiply(features).sum(axis=1))).ravel()
        features = sparse.diags(1 / np.maximum(norms, 1e-9)).astype(np.float32) @ features
    similar = (features @ features.T).toarray()
    np.fill_diagonal(similar, 0)
    return LinearModel(problem.likes(), similar)
