"""A peer at its own best: chosen on a cut of the training reviews, then fitted on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.quality.exchange import DEPTH, NOBODY, Answer, Bools, Ints, Problem
from benchmarks.quality.lists import per_user
from benchmarks.quality.peers.base import Model, Parameters, Peer, Scores

# Scores in memory at once: 64 MB of float32.
SCORE_CELLS = 16_000_000


@dataclass(frozen=True)
class Choice:
    """The hyper-parameters that did best on the validation cut."""

    parameters: dict[str, Any]
    value: float | None
    seconds: float


def answer(peer: Peer, problem: Problem, told: Callable[[str], None] = lambda _: None) -> Answer:
    """Choose, refit on all training reviews, and write everybody's lists."""
    choice = choose(peer, problem, told)
    started = time.perf_counter()
    model = peer.fit(problem, **choice.parameters)
    seconds = time.perf_counter() - started
    told(f"fitted in {seconds:.1f} s with {choice.parameters}")
    nobody = np.zeros((0, DEPTH), dtype=np.int64)
    everything = np.ones(problem.shape[1], dtype=np.bool_)
    reviews = problem.reviews()
    folds_in = hasattr(model, "scores_of_likes") and problem.newcomers.shape[0] > 0
    has_among = bool(problem.among.any())
    return Answer(
        lists=rank_users(model, problem.asked, reviews, everything),
        among=rank_users(model, problem.asked, reviews, problem.among) if has_among else nobody,
        newcomers=rank_newcomers(model, problem.newcomers) if folds_in else nobody,
        train_seconds=seconds,
        search_seconds=choice.seconds,
        parameters=choice.parameters,
        validation=choice.value,
    )


def choose(peer: Peer, problem: Problem, told: Callable[[str], None] = lambda _: None) -> Choice:
    """Return the best of the grid: fitted without the validation reviews, measured on their likes.

    The metric is NDCG@10 over the whole catalogue or, where the problem ranks some videos among
    themselves, Recall@20 among the videos withheld for validation.
    """
    choices = peer.choices()
    if len(choices) == 1:
        return Choice(choices[0], None, 0.0)
    started = time.perf_counter()
    search = problem.without_validation()
    values = []
    for number, parameters in enumerate(choices, start=1):
        values.append(measure(peer, search, problem, parameters))
        told(f"{number}/{len(choices)} {values[-1]:.4f} {parameters}")
    best = int(np.argmax(values))
    return Choice(choices[best], values[best], time.perf_counter() - started)


def measure(peer: Peer, search: Problem, whole: Problem, parameters: Parameters) -> float:
    """Return the metric of one choice on the validation cut."""
    targets = whole.validation_targets()
    users = np.flatnonzero(np.diff(targets.indptr))
    is_cold = bool(whole.validation_among.any())
    ranked = whole.validation_among if is_cold else np.ones(whole.shape[1], dtype=np.bool_)
    model = peer.fit(search, **parameters)
    lists = rank_users(model, users, search.reviews(), ranked)
    return float(per_user(lists, targets[users])["recall@20" if is_cold else "ndcg@10"].mean())


def rank_users(model: Model, users: Ints, seen: sparse.csr_matrix, ranked: Bools) -> Ints:
    """Return the best unseen videos of each user, int64 ``[users, DEPTH]``.

    Args:
        model: scores them.
        users: rows of ``seen``.
        seen: what is not ranked, ``[all users, items]``.
        ranked: the videos that are, bool ``[items]``.
    """
    step = max(1, SCORE_CELLS // len(ranked))
    parts = [
        best(model.scores(rows), seen[rows], ranked)
        for rows in (users[start : start + step] for start in range(0, len(users), step))
    ]
    return np.concatenate([np.zeros((0, DEPTH), dtype=np.int64), *parts])


def rank_newcomers(model: Any, likes: sparse.csr_matrix) -> Ints:
    """Return the best other videos for each row of likes, int64 ``[rows, DEPTH]``."""
    return best(model.scores_of_likes(likes), likes, np.ones(likes.shape[1], dtype=np.bool_))


def best(scores: Scores, seen: sparse.csr_matrix, ranked: Bools) -> Ints:
    """Return the item numbers of the highest scores, int64 ``[rows, DEPTH]``; ties by number."""
    scores = np.where(ranked, scores, -np.inf)
    rows = np.repeat(np.arange(len(scores)), np.diff(seen.indptr))
    scores[rows, seen.indices] = -np.inf
    depth = min(DEPTH, scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    lists = np.full((len(scores), DEPTH), NOBODY, dtype=np.int64)
    lists[:, :depth] = np.where(
        np.isfinite(np.take_along_axis(scores, order, axis=1)), order, NOBODY
    )
    return lists
