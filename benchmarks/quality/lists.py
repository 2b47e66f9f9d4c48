"""Metrics of lists of item numbers, the same for ours and for every peer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.quality.exchange import NOBODY, Ints
from two_tower.evaluation import metrics

Floats = NDArray[np.float64]


def per_user(lists: Ints, targets: sparse.csr_matrix) -> dict[str, Floats]:
    """Return each metric of each user, float64 ``[users]``.

    MRR sees no deeper than the lists: a best target behind the last place counts 0, which with
    lists of 100 takes less than .01 from that user.

    Args:
        lists: item numbers, the best first, int64 ``[users, depth]``; ``NOBODY`` is no hit.
        targets: the held-out likes, ``[users, items]``; every row holds one.
    """
    hits = hits_of(lists, targets)
    count = np.diff(targets.indptr).astype(np.int64)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), -1)
    return {
        "recall@20": metrics.recall(hits, count, 20),
        "recall@50": metrics.recall(hits, count, 50),
        "ndcg@10": metrics.ndcg(hits, count, 10),
        "ndcg@100": metrics.ndcg(hits, count, 100),
        "mrr": np.where(first >= 0, metrics.reciprocal_rank(np.maximum(first, 0) + 1), 0.0),
    }


def means(lists: Ints, targets: sparse.csr_matrix) -> dict[str, float]:
    """Return the mean of each metric over the users, and the coverage of the first 20 places."""
    values = {name: float(column.mean()) for name, column in per_user(lists, targets).items()}
    shown = np.zeros(targets.shape[1], dtype=np.bool_)
    top = lists[:, :20]
    shown[top[top != NOBODY]] = True
    return {**values, "coverage@20": metrics.coverage(shown)}


def without(lists: Ints, numbers: Ints) -> Ints:
    """Return the lists without these items; what comes behind moves up, ``NOBODY`` fills."""
    kept = np.where(np.isin(lists, numbers), NOBODY, lists)
    order = np.argsort(kept == NOBODY, axis=1, kind="stable")
    return np.take_along_axis(kept, order, axis=1)


def hits_of(lists: Ints, targets: sparse.csr_matrix) -> NDArray[np.bool_]:
    """Return which places hold a target, bool ``[users, depth]``."""
    width = targets.shape[1]
    rows = np.repeat(np.arange(targets.shape[0], dtype=np.int64), np.diff(targets.indptr))
    keys = rows * width + targets.indices
    places = np.arange(len(lists), dtype=np.int64)[:, None] * width + lists
    return np.isin(places, keys) & (lists != NOBODY)


def overlap(lists: Ints, reference: Ints, k: int) -> float:
    """Return the mean share of the reference's first ``k`` that the lists' first ``k`` hold."""
    found = [
        len(np.intersect1d(mine[:k], wanted[:k][wanted[:k] != NOBODY]))
        for mine, wanted in zip(lists, reference, strict=True)
    ]
    wanted_count = (reference[:, :k] != NOBODY).sum()
    return float(sum(found) / max(int(wanted_count), 1))
