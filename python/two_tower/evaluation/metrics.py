"""Ranking metrics, vectorised over users.

``hits`` is bool ``[users, depth]``: whether the video at each place of a user's list, best first,
is one of the user's targets. ``targets`` is int ``[users]``, the number of targets, at least 1.
``lists`` is a sparse matrix ``[users, videos]`` with a one for each video in a user's list.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Steck's alpha: the share of the user's own distribution that is mixed into the list's.
SMOOTHING = 0.01


def recall(hits: Bools, targets: Ints, k: int) -> Floats:
    """Return Recall@k, ``[users]``: the share of the targets among the first ``k``.

    Divided by ``min(k, targets)``, so that a perfect list scores 1 however many targets there are
    (Liang et al. 2018, "Variational autoencoders for collaborative filtering").
    """
    found: Floats = hits[:, :k].sum(axis=1) / np.minimum(targets, k)
    return found


def ndcg(hits: Bools, targets: Ints, k: int) -> Floats:
    """Return NDCG@k with binary gains, ``[users]`` (Järvelin & Kekäläinen 2002).

    DCG is the sum of ``1 / log2(place + 1)`` over the hits, places from 1; it is divided by the DCG
    of a list that begins with all the targets.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(targets, k) - 1]
    depth = min(k, hits.shape[1])
    gained: Floats = hits[:, :depth] @ discounts[:depth] / ideal
    return gained


def reciprocal_rank(best_places: Ints) -> Floats:
    """Return 1 / the place (from 1) of each user's best target, over all ranked videos."""
    return 1 / best_places


def coverage(recommended: Bools) -> float:
    """Return catalogue coverage: the share of videos, bool ``[videos]``, in at least one list."""
    return float(recommended.mean()) if len(recommended) else 0.0


def popularity_lift(recommended: Floats, consumed: Floats) -> float | None:
    """Return the popularity lift of the recommended videos over those the users consumed.

    ``(GAP_recommended - GAP_consumed) / GAP_consumed``, where GAP, the group average popularity, is
    the mean over users of the mean popularity of a user's videos (Abdollahpouri et al. 2020, "The
    connection between popularity bias, calibration, and fairness in recommendation"). 0: as popular
    as what the users chose themselves; 1: twice as popular. None if no user consumed anything.

    Args:
        recommended: mean popularity of the videos recommended to each user, ``[users]``.
        consumed: mean popularity of the videos each user reviewed in training, ``[users]``; NaN
            for users without any, who are left out.
    """
    known = ~np.isnan(consumed)
    base = float(consumed[known].mean()) if known.any() else 0.0
    return (float(recommended[known].mean()) - base) / base if base > 0 else None


def gini(exposures: Ints) -> float | None:
    """Return the Gini coefficient of the videos' exposures in all lists, 0 to 1.

    ``sum_k (2k - n - 1) x_k / ((n - 1) sum x)`` for exposures x in ascending order, k from 1
    (Castells, Hurley & Vargas 2015, "Novelty and diversity in recommender systems"). 0: all videos
    are shown equally often; 1: one video has all places. None for fewer than two videos, and if
    nothing is shown.

    Args:
        exposures: how many lists each video is in, ``[videos]``.
    """
    count, total = len(exposures), int(exposures.sum())
    if count < 2 or total == 0:
        return None
    ranks = np.arange(1, count + 1)
    return float(((2 * ranks - count - 1) * np.sort(exposures)).sum() / ((count - 1) * total))


def self_information(reviews: Floats, users: int) -> Floats:
    """Return the self-information (novelty) of each video, ``-log2 p`` in bits, ``[videos]``.

    ``p`` is the share of training users who reviewed it (Zhou et al. 2010, "Solving the apparent
    diversity-accuracy dilemma of recommender systems"). A video without a review counts as reviewed
    once, so that the value is finite.

    Args:
        reviews: training reviews of each video, ``[videos]``.
        users: training users.
    """
    bits: Floats = -np.log2(np.maximum(reviews, 1) / max(users, 1))
    return bits


def list_means(lists: sparse.csr_matrix, values: Floats) -> Floats:
    """Return the mean of the videos' ``values`` over each list, ``[users]``; NaN if it is empty."""
    with np.errstate(invalid="ignore"):
        means: Floats = (lists @ values) / _lengths(lists)
    return means


def diversity(lists: sparse.csr_matrix, content: sparse.csr_matrix) -> Floats:
    """Return the intra-list diversity, ``[users]``: 1 - the mean cosine of two videos of a list.

    Smyth & McClave 2001, "Similarity vs. diversity". 1: no two have anything in common; 0: all are
    alike. NaN for lists of fewer than two. The sum of the cosines of all pairs follows from the
    length of the sum: ``|sum v|^2 = sum |v|^2 + 2 sum_pairs``.

    Args:
        lists: see the module.
        content: content vectors of the videos, ``[videos, tokens]``; rows of length 1, or empty for
            a video that has nothing in common with any other.
    """
    summed = lists @ content
    squares = np.asarray(summed.multiply(summed).sum(axis=1)).ravel()
    own = lists @ np.asarray(content.multiply(content).sum(axis=1)).ravel()
    lengths = _lengths(lists)
    with np.errstate(invalid="ignore", divide="ignore"):
        similar = (squares - own) / (lengths * (lengths - 1))
    return np.where(lengths > 1, 1 - similar, np.nan)


def calibration(liked: sparse.csr_matrix, shown: sparse.csr_matrix) -> Floats:
    """Return the miscalibration of the lists to the users' likes, ``[users]``, in nats.

    ``KL(p || (1 - alpha) q + alpha p)`` with alpha = 0.01, where p is the distribution of the
    user's liked videos over the tokens and q that of the list (Steck 2018, "Calibrated
    recommendations"; his p(token | video) spreads a video evenly over its tokens). 0: the list has
    the distribution of the likes; ``-ln alpha`` = 4.6: it has none of their tokens. NaN where p is
    unknown.

    Args:
        liked: p, ``[users, tokens]``, each row summing to anything above 0, or empty.
        shown: q, likewise.
    """
    p, q = (sparse.csr_matrix(rows, dtype=np.float64) for rows in (liked, shown))
    p.eliminate_zeros()
    p.sort_indices()
    p, q = _distributions(p), _distributions(q)
    rows = np.repeat(np.arange(p.shape[0]), np.diff(p.indptr))
    mixed = (1 - SMOOTHING) * np.asarray(q[rows, p.indices]).ravel() + SMOOTHING * p.data
    divergence = np.bincount(rows, p.data * np.log(p.data / mixed), minlength=p.shape[0])
    return np.where(np.diff(p.indptr) > 0, divergence, np.nan)


def _distributions(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the rows divided by their sums; an empty row stays empty."""
    sums = _lengths(rows)
    return (sparse.diags(1 / np.where(sums > 0, sums, 1)) @ rows).tocsr()


def _lengths(rows: sparse.csr_matrix) -> Floats:
    sums: Floats = np.asarray(rows.sum(axis=1), dtype=np.float64).ravel()
    return sums
