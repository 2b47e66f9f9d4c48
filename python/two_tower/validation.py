"""The validation cut: fold 0 of the training reviews, hidden from the model and ranked by it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from two_tower import metrics
from two_tower.ahead import go_on
from two_tower.batches import hide, in_past
from two_tower.dataset import VALIDATION_FOLD, Data
from two_tower.layout import Slots
from two_tower.towers import Towers

Encoder = Callable[[Slots], Tensor]
# Another choice than the default has to gain more than this share of the metric: less is chance.
LEAST_GAIN = 0.005
# Scores in memory at a time.
MAX_SCORES = 2**24


@torch.no_grad()
def validate(
    encode: Encoder,
    vectors: Tensor,
    data: Data,
    rows: NDArray[np.int64],
    known: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """Return mean ``ndcg@10``, ``ndcg@100`` and ``recall@20`` of the validation likes.

    All videos are ranked but those of the user's other training reviews. The model sees the user's
    past videos alone.

    Args:
        encode: turns users' slots into vectors.
        vectors: of all videos, float32 ``[items, width]``.
        data: users, catalogue and layout.
        rows: users with a like in the validation fold, int64 ``[n]``, rising.
        known: the videos that are ranked, bool ``[items]``; all by default.
    """
    items = data.items
    step = max(1, MAX_SCORES // len(items))
    depth = min(100, len(items))
    sums = dict.fromkeys(("ndcg@10", "ndcg@100", "recall@20"), 0.0)
    for start in range(0, len(rows), step):
        go_on()
        part = data.users.read(rows[start : start + step])
        held = part.folds == VALIDATION_FOLD
        slots = hide(data.layout, items, part, held)
        # The rest was counted with the hidden reviews.
        slots.values[~in_past(data.layout, slots)] = 0
        scores = encode(slots) @ vectors.T
        if known is not None:
            scores[:, torch.from_numpy(~known)] = -torch.inf
        scores[part.rows[~held], part.items[~held]] = -torch.inf
        best = scores.topk(depth, dim=1).indices.numpy()
        target = held & part.liked
        keys = part.rows[target] * len(items) + part.items[target]
        hits = np.isin(np.arange(len(part))[:, None] * len(items) + best, keys)
        count = np.bincount(part.rows[target], minlength=len(part))
        sums["ndcg@10"] += float(metrics.ndcg(hits, count, 10).sum())
        sums["ndcg@100"] += float(metrics.ndcg(hits, count, 100).sum())
        sums["recall@20"] += float(metrics.recall(hits, count, 20).sum())
    return {name: value / len(rows) for name, value in sums.items()}


def validate_towers(towers: Towers, data: Data, rows: NDArray[np.int64]) -> dict[str, float]:
    """Return the same of a pair of towers."""
    towers.eval()
    with torch.no_grad():
        vectors = towers.forward_sparse("item", data.items.slots)
    found: dict[str, float] = validate(
        lambda slots: towers.forward_sparse("user", slots), vectors, data, rows
    )
    return found
