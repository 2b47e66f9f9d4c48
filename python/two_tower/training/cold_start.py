"""Where the content of a video places it among the vectors of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from two_tower.model.layout import Layout
from two_tower.training.data.dataset import Data, Items
from two_tower.training.experts.cholesky import factorised

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

# Systems of so many rows are factorised, in 32 MB and a second; larger ones are solved by steps.
MAX_FACTORISED = 2_000


@dataclass(frozen=True)
class Content:
    """The videos' features but for who they are, in the form that the item tower weighs."""

    matrix: sparse.csr_array  # [items, item_feature_dim]; numbers are centred and scaled
    centre: Floats  # what was taken off each column, [item_feature_dim]
    scale: Floats  # what each column was then divided by, [item_feature_dim]
    blocks: sparse.csr_array  # 1 where a column is a token of a block, [item_feature_dim, blocks]


def read_content(layout: Layout, items: Items) -> Content:
    """Return the content of the catalogue."""
    width = layout.feature_dim("item")
    values = layout.weighed("item", items.slots).astype(np.float64)
    is_content = ~items.is_identity[items.slots.positions]
    shape = (len(items), width)
    matrix = sparse.csr_array(
        (values[is_content], (items.slots.rows[is_content], items.slots.positions[is_content])),
        shape=shape,
    )
    centre, scale = np.zeros(width), np.ones(width)
    for block in layout.item:
        if block.kind == "numeric":
            column = np.asarray(matrix[:, [block.offset]].todense()).ravel()
            if column.std() > 1e-6:
                centre[block.offset], scale[block.offset] = column.mean(), column.std()
    numeric = np.flatnonzero(centre)
    if len(numeric):
        rest = sparse.diags_array(1.0 * (centre == 0)).tocsr()
        dense = (matrix[:, numeric].toarray() - centre[numeric]) / scale[numeric]
        rows, columns = np.indices(dense.shape)
        extra = sparse.csr_array(
            (dense.ravel(), (rows.ravel(), numeric[columns.ravel()])), shape=shape
        )
        matrix = (matrix @ rest + extra).tocsr()
    of_tokens = [block for block in layout.item if block.kind in ("one_hot", "multi_hot")]
    blocks = np.zeros((width, len(of_tokens)))
    for number, block in enumerate(of_tokens):
        blocks[block.offset : block.offset + block.width, number] = 1
    return Content(matrix, centre, scale, sparse.csr_array(blocks))


def ridge(matrix: sparse.csr_array, target: Floats, weights: Floats) -> Callable[[float], Floats]:
    """Return the weighted ridge regression of ``target`` on ``matrix``, by its penalty.

    It is ``[columns, dim]``: ``(A'A + penalty)^-1 A'b`` where ``A`` and ``b`` are the two times the
    roots of the weights, or the same as ``A'(AA' + penalty)^-1 b`` where videos are fewer than
    columns. Large systems are solved by conjugate gradients.
    """
    root = np.sqrt(weights)[:, None]
    used = np.unique(matrix.indices)
    videos, columns = matrix.shape[0], len(used)
    by_video = videos < columns
    is_small = 0 < min(videos, columns) <= MAX_FACTORISED
    # Sums over hundreds of thousands of videos are not factorised in single precision.
    exact = np.float64 if is_small and not by_video else np.float32
    scaled = sparse.csr_array((matrix[:, used] * root).astype(exact))
    turned = scaled.T.tocsr()
    goal = np.asarray(target * root, dtype=exact)
    left, right = (scaled, turned) if by_video else (turned, scaled)
    if not by_video:
        goal = turned @ goal
    gram = (left @ right).toarray() if is_small else None

    def solved(penalty: float) -> Floats:
        if gram is None:
            single = goal.astype(np.float32, copy=False)
            found = conjugate_gradients(lambda x: left @ (right @ x) + penalty * x, single)
        else:
            factor = factorised(gram + penalty * np.eye(len(gram), dtype=gram.dtype))
            found = linalg.cho_solve((factor, False), goal, check_finite=False)
        solution = np.zeros((matrix.shape[1], target.shape[1]))
        solution[used] = turned @ found if by_video else found
        return solution

    return solved


def conjugate_gradients(
    apply: Callable[[Singles], Singles], goal: Singles, steps: int = 50, tolerance: float = 1e-3
) -> Singles:
    """Return ``x`` with ``apply(x) = goal``, all columns at once (Hestenes & Stiefel 1952).

    Args:
        apply: a symmetric positive definite map.
        goal: float32 ``[rows, columns]``.
        steps: at most.
        tolerance: the share of the first residual they end at.
    """
    residual = goal.copy()
    solution = np.zeros_like(goal)
    direction = residual.copy()
    square = (residual**2).sum(axis=0)
    end = tolerance**2 * max(float(square.max(initial=0)), 1e-30)
    for _ in range(steps):
        if square.max(initial=0) <= end:
            break
        image = apply(direction)
        step = square / np.maximum((direction * image).sum(axis=0), 1e-30)
        solution += step * direction
        residual -= step * image
        before, square = square, (residual**2).sum(axis=0)
        direction = residual + square / np.maximum(before, 1e-30) * direction
    return solution


@dataclass(frozen=True)
class Placing:
    """A regression of the videos' vectors on their content: ``mean + content @ weight``.

    In the last column, where no user has anything, all videos have the same: as much as makes their
    mean length 1, so that the towers, which divide by it, lift no new video above the known ones.
    """

    mean: Floats
    weight: Floats

    def of(self, content: Content, rows: NDArray[np.int64] | slice = slice(None)) -> Floats:
        """Return the vectors of these videos by their content alone, ``[rows, dim]``."""
        return np.asarray(self.mean + content.matrix[rows] @ self.weight)

    def boosted(self, boost: float, content: Content, rows: NDArray[np.int64]) -> Placing:
        """Return the same with all scores times ``boost``, some videos being as long as 1."""
        mean, weight = self.mean * boost, self.weight * boost
        mean[-1], weight[:, -1] = 0, 0
        square = ((mean + content.matrix[rows] @ weight) ** 2).sum(axis=1).mean()
        # High boosts would leave nothing of the length 1: a tenth of it stays.
        mean[-1] = np.sqrt(max(1 - float(square), 0.01))
        return Placing(mean, weight)


def place(
    content: Content, vectors: Floats, rows: NDArray[np.int64], weights: Floats
) -> Callable[[float], Placing]:
    """Regress the vectors of some videos, ``rows``, on their content; by the penalty of the ridge.

    All tokens of a block have a part in common, which is penalised once and not by token: a video
    of which a maker, a series and ten performers are known is rarely like any other, whoever they
    are.

    Args:
        content: of the catalogue.
        vectors: of all videos, ``[items, dim]``.
        rows: item numbers of the videos to learn from.
        weights: how much each of them counts, ``[rows]``.
    """
    weights = weights / max(weights.mean(), 1e-12)
    mean = np.average(vectors[rows], axis=0, weights=weights)
    matrix = content.matrix[rows].tocsr()
    totals = (matrix @ content.blocks).toarray()
    centre = np.average(totals, axis=0, weights=weights)
    wide = sparse.hstack([matrix, sparse.csr_array(totals - centre)]).tocsr()
    solved = ridge(wide, vectors[rows] - mean, weights)

    def placing(penalty: float) -> Placing:
        own, common = np.split(solved(penalty), [matrix.shape[1]])
        return Placing(mean - centre @ common, own + content.blocks @ common)

    return placing


def complete(
    data: Data,
    vectors: Floats,
    known: NDArray[np.bool_],
    weights: Floats,
    penalty: float,
    boost: float,
) -> tuple[Floats, Floats]:
    """Return an item tower's weights and bias: what content says of all, and what is each's own.

    Args:
        data: the training data.
        vectors: of all videos, ``[items, dim]``.
        known: videos that have a vector of their own, bool ``[items]``.
        weights: how much each video counts for what content means, ``[items]``.
        penalty: of the ridge from content to vectors.
        boost: score multiplier for videos without reviews.
    """
    content, identity = read_content(data.layout, data.items), data.items.identity
    rows = np.flatnonzero(known)
    placing = place(content, vectors, rows, weights[rows])(penalty).boosted(boost, content, rows)
    weight = placing.weight / content.scale[:, None]
    bias = placing.mean - content.centre @ weight
    own = rows[identity[rows] >= 0]
    offset = np.flatnonzero(data.items.is_identity)
    weight[offset[identity[own]]] = vectors[own] - placing.of(content, own)
    return weight, bias


def unit(vectors: Floats) -> Floats:
    """Return rows of length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
