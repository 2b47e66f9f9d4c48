"""Operations with a faster way back than torch's own: a step of training is made of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from two_tower.model.layout import TINY
from two_tower.model.slots import Slots

# The logit of what cannot be: finite, so that a row of nothing else still has a gradient.
NEVER = -1e9


class Bags:
    """Rows of slots as a tower weighs them, kept where the same rows are encoded at every step.

    Args:
        slots: the rows.
        values: each slot's value by the norm of its block, float32 ``[slots]``.
        width: of the flat vector.
    """

    def __init__(self, slots: Slots, values: NDArray[np.float32], width: int) -> None:
        self.there = (slots.positions, values, slots.offsets)
        self.shape = (len(slots), width)

    @cached_property
    def back(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The transposed rows."""
        positions, values, offsets = self.there
        matrix = csr_array((values, positions, offsets), shape=self.shape).tocsc()
        return matrix.indices, matrix.data, matrix.indptr


class SlotSum(torch.autograd.Function):
    """Sum of the weight rows that sparse rows name: an embedding bag with a faster way back.

    The gradient of the weights is the transposed sparse matrix times the gradient of the sums:
    an embedding bag again, a bag a weight. Torch's own way back takes many times as long. Each bag
    is added in a fixed order, so that a seed gives the same model bit by bit.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bags: Bags) -> Tensor:
        """Return ``[rows, width]``."""
        ctx.bags = bags
        return _sums(weight, bags.there)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the weights, ``[feature_dim, width]``; nothing else has one."""
        return _sums(gradients[0].contiguous(), ctx.bags.back), None


def _sums(weight: Tensor, bags: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> Tensor:
    positions, values, offsets = (torch.from_numpy(each).to(weight.device) for each in bags)
    return functional.embedding_bag(
        positions,
        weight,
        offsets,
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
    )


class Unit(torch.autograd.Function):
    """Each row by its length, with a way back of three passes; that of torch's operators has ten.

    ``d(v/|v|) = (g - u (u . g)) / |v|`` with ``u = v/|v|``.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        """Return ``[rows, width]``."""
        lengths = length(vectors)
        unit = vectors / lengths
        ctx.save_for_backward(unit, lengths)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient of the vectors."""
        unit, lengths = ctx.saved_tensors
        gradient = gradients[0]
        along = (unit * gradient).sum(1, keepdim=True)
        return torch.addcmul(gradient, unit, along, value=-1).div_(lengths)


class LogLikelihood(torch.autograd.Function):
    """Weighted log likelihood of cells of a table of users and videos, each row a softmax.

    The table is the largest thing in a step. Torch's operators write it anew a dozen times on the
    way back; this writes it once, over itself.
    """

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        correction: Tensor | None,
        never: Tensor,
        found: Tensor,
        weights: Tensor,
        distilled: Tensor | None,
        share: float,
    ) -> Tensor:
        """Return the sum, a scalar.

        Args:
            ctx: what the way back needs.
            users: ``[users, dim]``.
            items: ``[items, dim]``.
            correction: what is taken off the scores of each item, ``[items]``.
            never: rows and columns of the cells that cannot be, int64 ``[2, n]``.
            found: rows and columns of the cells whose likelihood counts, int64 ``[2, m]``.
            weights: how much each of these counts, ``[m]``.
            distilled: probabilities to follow, ``[users, items]``, 0 where ``never``: they take
                ``share`` of a row's weight.
            share: 0..1.
        """
        table = users @ items.T
        if correction is not None:
            table -= correction
        table[never[0], never[1]] = NEVER
        scores = table[found[0], found[1]]
        mean = None if distilled is None else torch.linalg.vecdot(distilled, table)
        highest = table.amax(1, keepdim=True)
        sums = table.sub_(highest).exp_().sum(1)
        ctx.save_for_backward(users, items, found, weights, sums)
        ctx.table, ctx.distilled, ctx.share = table, distilled, share
        weights, whole = weights.to(users.dtype), highest[:, 0] + sums.log()
        likelihood = weights @ (scores - whole[found[0]])
        if mean is None:
            return likelihood
        total = torch.zeros_like(sums).index_add_(0, found[0], weights)
        return (1 - share) * likelihood + share * (total @ (mean - whole))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of users and items; nothing else has one."""
        users, items, found, weights, sums = ctx.saved_tensors
        # Written over: there is no second way back.
        (table, ctx.table), (distilled, ctx.distilled) = (ctx.table, None), (ctx.distilled, None)
        weights = weights.to(users.dtype) * gradients[0]
        total = torch.zeros_like(sums).index_add_(0, found[0], weights)
        table *= -(total / sums)[:, None]
        if distilled is not None:
            table.addcmul_(distilled, (ctx.share * total)[:, None])
            weights = (1 - ctx.share) * weights
        table.index_put_((found[0], found[1]), weights, accumulate=True)
        return table @ items, table.T @ users, None, None, None, None, None, None


def length(vectors: Tensor) -> Tensor:
    """Return the length of each row, ``[rows, 1]``; never zero."""
    # Clamped under the root: the root of zero has no gradient.
    return (vectors * vectors).sum(1, keepdim=True).clamp_min(TINY * TINY).sqrt()
