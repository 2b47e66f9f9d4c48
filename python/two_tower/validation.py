"""The validation cut: fold 0 of the training reviews, hidden from the model and ranked by it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower import metrics
from two_tower.batches import hide, in_history
from two_tower.dataset import Items, Users
from two_tower.layout import Layout
from two_tower.towers import Towers

VALIDATION_FOLD = 0
# Scores in memory at a time.
MAX_SCORES = 2**24


@torch.no_grad()
def validate(
    towers: Towers, users: Users, items: Items, rows: NDArray[np.int64]
) -> dict[str, float]:
    """Return mean ``ndcg@10`` and ``recall@20`` of the validation likes.

    All videos are ranked but those of the user's other training reviews. The model sees the user's
    histories alone.

    Args:
        towers: the model.
        users: all users.
        items: the catalogue.
        rows: users with a like in the validation fold, int64 ``[n]``, rising.
    """
    towers.eval()
    layout: Layout = towers.layout
    vectors = towers.forward_sparse("item", items.slots)
    step = max(1, MAX_SCORES // len(items))
    depth = min(20, len(items))
    ndcg = recall = 0.0
    for start in range(0, len(rows), step):
        part = users.read(rows[start : start + step])
        held = part.folds == VALIDATION_FOLD
        slots = hide(layout, items, part, held)
        slots.values[~in_history(layout, slots)] = 0  # they were counted with the hidden reviews
        queries = towers.forward_sparse("user", slots)
        scores = queries @ vectors.T
        scores[part.rows[~held], part.items[~held]] = -torch.inf
        best = scores.topk(depth, dim=1).indices.numpy()
        target = held & part.liked
        keys = part.rows[target] * len(items) + part.items[target]
        hits = np.isin(np.arange(len(part))[:, None] * len(items) + best, keys)
        count = np.bincount(part.rows[target], minlength=len(part))
        ndcg += float(metrics.ndcg(hits, count, 10).sum())
        recall += float(metrics.recall(hits, count, 20).sum())
    return {"ndcg@10": ndcg / len(rows), "recall@20": recall / len(rows)}
