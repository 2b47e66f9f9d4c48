"""Processes that train the same towers, each on its share of every batch (data parallel).

All of them have the same weights: they begin with the same, and take the same steps, along the
gradient of the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """The group as one of its processes sees it; ``torch.distributed`` connects them.

    Attributes:
        rank: number of this process, 0-based.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's users of a batch, int64 ``[n]``; there may be none."""
        return rows[self.rank :: self.size]

    def own(self, rng: np.random.Generator) -> np.random.Generator:
        """Return the source of chance of this process, from one that all have."""
        return rng if self.size == 1 else rng.spawn(self.size)[self.rank]

    def averaged(
        self, parameters: Sequence[Tensor], loss: float, weight: float, reviews: int
    ) -> tuple[float, float]:
        """Average the gradients over the group, each by the weight of its targets.

        Args:
            parameters: their gradients, float32, become those of the whole batch.
            loss: mean loss of a target of this process.
            weight: of its targets, all together.
            reviews: that it has read.

        Returns:
            the mean loss of a target of the batch, and the reviews that all have read.
        """
        if self.size == 1:
            return loss, reviews
        for each in parameters:
            each.grad = torch.zeros_like(each) if each.grad is None else each.grad.mul_(weight)
        gradients = [each.grad for each in parameters if each.grad is not None]
        totals = torch.tensor([weight * loss, weight, reviews], dtype=torch.float64)
        for each in (*gradients, totals):
            torch.distributed.all_reduce(each)
        for each in gradients:
            each.div_(totals[1])
        return float(totals[0] / totals[1]), float(totals[2])


ALONE = Group()
