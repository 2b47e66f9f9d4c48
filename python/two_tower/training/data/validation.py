"""The validation cut: fold 0 of the training reviews, hidden from the model and ranked by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from two_tower.core.background import raise_if_cancelled
from two_tower.evaluation import metrics
from two_tower.model.slots import Slots
from two_tower.model.towers import Towers
from two_tower.training.data.batches import hide_all_but_past
from two_tower.training.data.dataset import VALIDATION_FOLD, Data, UserRows

Encoder = Callable[[Slots], Tensor]

# Of the three that validation measures the one that chance moves least: models are chosen by it.
METRIC = "ndcg@100"
# Another choice than the default has to gain more than this share of the metric: less is chance,
# which of more than 1,000 users falls with the root of their number (ADR 18).
LEAST_GAIN = 0.005
# Scores in memory at a time: 64 MB.
MAX_SCORES = 2**24


class _Part(NamedTuple):
    """As many users as are ranked at a time."""

    vectors: Tensor  # float32 [users, width]
    shown: tuple[NDArray[np.int64], NDArray[np.int64]]  # rows and videos of other training reviews
    wanted: tuple[NDArray[np.int64], NDArray[np.int64]]  # rows and videos of validation likes
    targets: NDArray[np.int64]  # validation likes of each user, [users]


class Lists:
    """Lists for users with a like in the validation fold, whose vectors are made once.

    All videos are ranked but those of the user's other training reviews. The model sees the user's
    past videos alone.

    Args:
        encode: turns users' slots into vectors.
        data: users, catalogue and layout.
        rows: the users, int64 ``[n]``, rising.
        few: so many of each user's past likes, drawn at random, are all that the model sees, as of
            a new user; by default it sees all past videos.
    """

    @torch.no_grad()
    def __init__(
        self, encode: Encoder, data: Data, rows: NDArray[np.int64], few: int | None = None
    ) -> None:
        self.items, self.users = len(data.items), len(rows)
        step = max(1, MAX_SCORES // self.items)
        starts = range(0, self.users, step)
        self.parts = [_encoded(encode, data, rows[at : at + step], few) for at in starts]

    @torch.no_grad()
    def measure(self, vectors: Tensor, known: NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Return mean ``ndcg@10``, ``ndcg@100`` and ``recall@20`` of the validation likes.

        Args:
            vectors: of all videos, float32 ``[items, width]``.
            known: the videos that are ranked, bool ``[items]``; all by default.
        """
        depth = min(100, self.items)
        sums = dict.fromkeys(("ndcg@10", "ndcg@100", "recall@20"), 0.0)
        for part in self.parts:
            raise_if_cancelled()
            scores = part.vectors @ vectors.T
            if known is not None:
                scores.masked_fill_(torch.from_numpy(~known), -torch.inf)
            scores[part.shown] = -torch.inf
            best = scores.topk(depth, dim=1)
            wanted = torch.zeros(scores.shape, dtype=torch.bool)
            wanted[part.wanted] = True
            # Of few videos a list ends in those that are not ranked.
            hits = (wanted.gather(1, best.indices) & best.values.isfinite()).numpy()
            sums["ndcg@10"] += float(metrics.ndcg(hits, part.targets, 10).sum())
            sums["ndcg@100"] += float(metrics.ndcg(hits, part.targets, 100).sum())
            sums["recall@20"] += float(metrics.recall(hits, part.targets, 20).sum())
        return {name: value / self.users for name, value in sums.items()}


def _encoded(encode: Encoder, data: Data, rows: NDArray[np.int64], few: int | None) -> _Part:
    raise_if_cancelled()
    part = data.read(rows)
    held = part.folds == VALIDATION_FOLD
    hidden = held if few is None else ~_drawn(part, part.liked & ~held, few)
    target = held & part.liked
    return _Part(
        encode(hide_all_but_past(data, part, hidden)),
        (part.rows[~held], part.items[~held]),
        (part.rows[target], part.items[target]),
        np.bincount(part.rows[target], minlength=len(part)),
    )


def _drawn(users: UserRows, choice: NDArray[np.bool_], few: int) -> NDArray[np.bool_]:
    """Draw at most so many of each user's reviews among these, bool ``[reviews]``."""
    ticket = np.where(choice, np.random.default_rng(0).random(len(choice)), 2.0)
    order = np.lexsort((ticket, users.rows))
    first = np.searchsorted(users.rows[order], users.rows[order])
    drawn = np.zeros(len(choice), dtype=np.bool_)
    drawn[order] = np.arange(len(order)) - first < few
    return drawn & choice


def least_gain(users: int) -> float:
    """Return what share of the metric another choice has to gain on so many users."""
    return LEAST_GAIN * min(1.0, math.sqrt(1_000 / max(users, 1)))


def first_or_best(found: list[float], least: float) -> int:
    """Return the place of the highest, if it is higher than the first by this share of it, or 0."""
    best = int(np.argmax(found))
    return best if found[best] > found[0] * (1 + least) else 0


def validate(
    encode: Encoder,
    vectors: Tensor,
    data: Data,
    rows: NDArray[np.int64],
    known: NDArray[np.bool_] | None = None,
    few: int | None = None,
) -> dict[str, float]:
    """Return the metrics of a model, see :class:`Lists`."""
    found: dict[str, float] = Lists(encode, data, rows, few).measure(vectors, known)
    return found


def validate_towers(towers: Towers, data: Data, rows: NDArray[np.int64]) -> dict[str, float]:
    """Return the same of a pair of towers."""
    towers.eval()
    with torch.no_grad():
        vectors = towers.forward_sparse("item", data.items.slots).cpu()
    return validate(lambda slots: towers.forward_sparse("user", slots).cpu(), vectors, data, rows)
