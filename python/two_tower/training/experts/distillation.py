"""What a low rank leaves out of the closed form, as targets that the towers follow in training.

Where what goes with a video and no other is most of what there is to say, as in a shop, the nearest
map of the embeddings' rank says little of it. Towers are of the same rank, but are trained to make
lists: there they can say more of it than the nearest map does, and learn it from the scores of the
whole regression beside the reviews that are hidden (distillation: Hinton, Vinyals & Dean 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from two_tower.core.background import go_on
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import Factors, design, encoder
from two_tower.model.towers import SparseTower
from two_tower.training.data.batches import Batch
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import validate
from two_tower.training.experts.ease import Base, Floats, Head, add_up, histories, placed, solve
from two_tower.training.experts.ridge_search import Tried

# Its scores are so much of their mean deviation; a video that it does not know has as much as so
# many deviations below nothing.
SHARPNESS = 0.5
UNKNOWN = -2.0
# It is asked where the low rank loses so much of this metric, in whose places what goes with one
# video and no other is.
LOST_METRIC = "ndcg@10"
LEAST_LOST = 0.065
# Users who say how far its scores are spread.
SPREAD_USERS = 300


@dataclass(frozen=True)
class Teacher:
    """The closed form at full rank.

    Attributes:
        tower: a user tower of the towers' layout, for how it weighs slots.
        head: the videos.
        solution: from histories to scores, float32 ``[videos, videos]``.
    """

    tower: SparseTower
    head: Head
    solution: Floats

    def scores(self, batch: Batch, place: NDArray[np.int64], videos: int) -> Tensor:
        """Return how it ranks videos for users as the model sees them, float32 ``[users, videos]``.

        Args:
            batch: the users.
            place: the column of each video, int64 ``[items]``; all that it knows have one.
            videos: columns.
        """
        seen = design(self.tower, batch.slots).tocsr()[:, self.head.columns.ravel()]
        found = np.full((seen.shape[0], videos), SHARPNESS * UNKNOWN, np.float32)
        found[:, place[self.head.items]] = seen.astype(np.float32) @ self.solution
        return torch.from_numpy(found)


def teach(
    config: TrainConfig, data: Data, tower: SparseTower, base: Base, ridge: float, withhold: bool
) -> Teacher:
    """Solve the closed form of these videos.

    Args:
        config: the settings.
        data: the training data, of the towers' layout.
        tower: a user tower of that layout, for how it weighs slots.
        base: the videos.
        ridge: the penalty.
        withhold: whether the validation fold is kept from it.
    """
    sums = add_up(config, data, tower, withhold, base.head)
    go_on()
    solution = solve(sums, ridge, base.prior).astype(np.float32, copy=False)
    del sums
    go_on()
    rows = data.search_likers if withhold else data.likers
    some = rows[:: 1 + len(rows) // SPREAD_USERS]
    deviations = [
        (inputs.astype(np.float32) @ solution).std(axis=1)
        for _, _, inputs, _ in histories(data, tower, some, withhold, base.head)
    ]
    solution *= SHARPNESS / max(float(np.concatenate(deviations).mean()), 1e-12)
    return Teacher(tower, base.head, solution)


def loses(
    data: Data, tower: SparseTower, base: Base, tried: Tried, rows: NDArray[np.int64]
) -> bool:
    """Return whether these users' lists lose much by the closed form's low rank.

    Args:
        data: the training data.
        tower: a user tower, for how it weighs slots.
        base: the videos that the penalty was tried on.
        tried: what was found.
        rows: users with a like in the validation fold, int64 ``[n]``, rising.
    """
    if tried.closed is None or tried.solution is None:
        return False
    known = np.zeros(len(data.items), dtype=np.bool_)
    known[base.head.items] = True

    def measured(factors: Factors) -> float:
        vectors = torch.from_numpy(factors.item.astype(np.float32))
        return validate(encoder(tower, factors), vectors, data, rows, known)[LOST_METRIC]

    whole = placed(data, base.head, tried.solution, np.eye(len(base.head.items)))
    return measured(tried.closed) < (1 - LEAST_LOST) * measured(whole)
