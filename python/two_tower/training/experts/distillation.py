"""Distillation: what a low rank leaves out of EASE, as targets of the towers beside the reviews.

In a shop most of what there is to say is what goes with one video and no other, and the nearest map
of the embeddings' rank says little of it. Towers of the same rank are trained to make lists: they
learn more of it from the scores of the whole regression (Hinton, Vinyals & Dean 2015). The numbers
are those of ADR 19.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from two_tower.core.background import raise_if_cancelled
from two_tower.core.train_config import TrainConfig
from two_tower.model.layout import Layout
from two_tower.model.linear_map import design
from two_tower.training.data.batches import Batch
from two_tower.training.data.dataset import Data
from two_tower.training.experts import ease
from two_tower.training.experts.regression import Floats, Head, find_head, histories, placed
from two_tower.training.experts.ridge_search import Tried, measured

# Its scores are so much of their mean deviation; a video that it does not know has as much as so
# many deviations below nothing (ADR 19).
SHARPNESS = 0.5
UNKNOWN = -2.0
# It is asked where the low rank loses so much of NDCG@10, in whose places what goes with one video
# and no other is (ADR 19).
LEAST_LOST = 0.065
# Videos that there may be: it is a matrix of them each, of 400 MB, and solving it takes ten times
# that.
MAX_VIDEOS = 10_000


@dataclass(frozen=True)
class Distillation:
    """EASE at full rank, from which the towers are distilled."""

    layout: Layout  # of the towers
    head: Head
    solution: Floats  # from histories to scores, float32 [head, head]

    def scores(self, batch: Batch, place: NDArray[np.int64], videos: int) -> Tensor:
        """Return how it ranks videos for users as the model sees them, float32 ``[users, videos]``.

        Args:
            batch: the users.
            place: the column of each video, int64 ``[items]``; all that it knows have one.
            videos: columns.
        """
        seen = design(self.layout, batch.slots).tocsr()[:, self.head.columns.ravel()]
        found = np.full((seen.shape[0], videos), SHARPNESS * UNKNOWN, np.float32)
        found[:, place[self.head.items]] = seen.astype(np.float32) @ self.solution
        return torch.from_numpy(found)


def applies(config: TrainConfig, data: Data) -> bool:
    """Return whether towers can be distilled: from EASE over all videos."""
    most = min(MAX_VIDEOS, config.max_full_softmax_items)
    return config.loss == "softmax" and len(data.items) <= most


def is_needed(data: Data, tried: Tried, rows: NDArray[np.int64]) -> bool:
    """Return whether these users' lists lose much by EASE's low rank."""
    if tried.closed is None or tried.solution is None:
        return False
    whole = placed(data, tried.head, tried.solution, np.eye(len(tried.head)))
    low, full = (
        measured(each, data, tried.head, rows, "ndcg@10") for each in (tried.closed, whole)
    )
    return low < (1 - LEAST_LOST) * full


def fit(config: TrainConfig, data: Data) -> Distillation:
    """Solve EASE over all videos."""
    data = data.without(("recency", "profile"))  # the towers know neither
    head, ridge = find_head(data, MAX_VIDEOS, histories(data)[:1]), config.ridge or ease.RIDGE
    sums = ease.add_up(config, data, head)
    solution = ease.solve(sums, ridge, ease.precision(data, head.items))
    solution = solution.astype(np.float32, copy=False)
    del sums
    raise_if_cancelled()
    some = data.fitted[:: 1 + len(data.fitted) // 300]  # enough to say how far scores are spread
    deviations = [
        (part.inputs.astype(np.float32) @ solution).std(axis=1)
        for part in ease.rows_of(data, head, some)
    ]
    solution *= SHARPNESS / max(float(np.concatenate(deviations).mean()), 1e-12)
    return Distillation(data.layout, head, solution)
