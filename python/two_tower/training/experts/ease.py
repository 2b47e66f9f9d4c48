"""Who wants what, from their histories, in closed form: ridge regression without epochs.

The reviews of a user, each as far as it is relevant, are regressed on their history (EASE:
Steck 2019, "Embarrassingly shallow autoencoders for sparse data", here with several blocks), under
the constraint that a video says nothing for itself: with ``P = (Z'WZ + diag(ridge))^-1`` and ``S``
the columns of video ``i`` in all blocks, column ``i`` is ``B0 - P[:, S] P[S, S]^-1 B0[S]`` where
``B0 = P Z'WX``. The map is then reduced to its best rank on the training rows.

Videos of like content should mean alike, and of most videos few histories tell: the penalty is the
inverse of a kernel, ``I + LIKENESS * K`` with ``K`` the cosines of the videos' contents, instead of
the plain ``I`` (a Gaussian prior on each column of the map; compare kernel ridge regression).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.layout import Block
from two_tower.model.linear_map import Factors, design
from two_tower.model.towers import SparseTower
from two_tower.training.data.batches import hide, past_blocks
from two_tower.training.data.dataset import VALIDATION_FOLD, Data, UserRows
from two_tower.training.experts.cholesky import inverted

Floats = NDArray[np.floating[Any]]

# Users the sums are taken over; more change the sums little, and take their time.
MAX_USERS = 200_000
# Reviews at a time, and cells of a table of users and videos: each time a dense matrix is added.
CHUNK_REVIEWS = 4_000_000
CHUNK_CELLS = 2**28
# Wider Gram matrices are of single precision.
SINGLE_FROM = 1_000
# How much two videos of the same content are expected to mean the same.
LIKENESS = 0.3
# A user with n reviews weighs n^USER_POWER: all the same is 0, as in plain EASE is 1.
USER_POWER = 0.5
# The reduction to a low rank: columns beyond the rank, and rounds of its subspace iteration.
OVERSAMPLED = 32
ROUNDS = 2


@dataclass(frozen=True)
class Head:
    """The videos the closed form covers: reviewed ones with an index in the histories.

    Attributes:
        items: item numbers, int64 ``[head]``.
        columns: their places in the user's flat vector, int64 ``[blocks, head]``.
    """

    items: NDArray[np.int64]
    columns: NDArray[np.int64]


@dataclass(frozen=True)
class Base:
    """What a regression is on.

    Attributes:
        head: the videos.
        prior: how the penalty is shaped, see :func:`precision`.
    """

    head: Head
    prior: Floats

    def __bool__(self) -> bool:
        return bool(self.head.columns.size)


@dataclass(frozen=True)
class Sums:
    """What the regression needs of the users.

    Attributes:
        gram: ``Z'WZ``, ``[blocks * head, blocks * head]``.
        cross: ``Z'WX``, ``[blocks * head, head]``.
    """

    gram: Floats
    cross: Floats


def as_factors(
    config: TrainConfig, data: Data, head: Head, sums: Sums, solution: Floats
) -> Factors:
    """Return a solution at its best rank, as a map of all slots and videos."""
    basis = leading(solution, sums.gram, min(config.dim, len(head.items)))
    return placed(data, head, solution @ basis, basis)


def placed(data: Data, head: Head, user: Floats, item: Floats) -> Factors:
    """Return factors of the head's columns and videos as a map of all slots and videos."""
    users = np.zeros((data.layout.feature_dim("user") + 1, user.shape[1]))
    users[head.columns.ravel()] = user
    items = np.zeros((len(data.items), item.shape[1]))
    items[head.items] = item
    return Factors(users, items)


def find_base(data: Data, limit: int, blocks: list[Block]) -> Base:
    """Return the head of these blocks, see :func:`find_head`, with its prior."""
    head = find_head(data, limit, blocks)
    return Base(head, precision(data, head.items))


def find_head(data: Data, limit: int, blocks: list[Block]) -> Head:
    """Return the reviewed videos that blocks of past videos know, the ``limit`` most liked."""
    width = min((block.width for block in blocks), default=0)
    index = data.items.identity
    known = np.flatnonzero((index >= 0) & (index < width) & data.seen)
    order = known[np.argsort(-data.like_counts[known], kind="stable")][:limit]
    items = np.sort(order)
    columns = [block.offset + index[items] for block in blocks]
    return Head(items, np.array(columns, dtype=np.int64).reshape(len(blocks), len(items)))


def add_up(config: TrainConfig, data: Data, tower: SparseTower, withhold: bool, head: Head) -> Sums:
    """Pass over the users once; above ``MAX_USERS`` a sample of them."""
    rows = data.search_likers if withhold else data.likers
    if len(rows) > MAX_USERS:
        rng = np.random.default_rng(config.seed)
        rows = np.sort(rng.choice(rows, MAX_USERS, replace=False))
    size = len(head.items)
    place = np.full(len(data.items), -1, dtype=np.int64)
    place[head.items] = np.arange(size)
    # Dense: of many users hardly a pair of videos is without one who knows both.
    dtype = accuracy(head.columns.size)
    gram = np.zeros((head.columns.size, head.columns.size), dtype)
    cross = np.zeros((head.columns.size, size), dtype)
    weight_sum = 0.0
    for part, held, inputs, weights in histories(data, tower, rows, withhold, head):
        relevance = part.relevances * ~held
        norms = np.sqrt(np.bincount(part.rows, relevance**2, minlength=len(part)))
        inside = (relevance > 0) & (place[part.items] >= 0)
        rows_of = part.rows[inside]
        targets = sparse.csr_array(
            (relevance[inside] / norms[rows_of], (rows_of, place[part.items[inside]])),
            shape=(len(part), size),
        )
        inputs, targets = inputs.astype(dtype), targets.astype(dtype)
        weighted = (inputs * weights[:, None].astype(dtype)).T.tocsr()
        gram += (weighted @ inputs).toarray()
        cross += (weighted @ targets).toarray()
        weight_sum += float(weights.sum())
    mean = max(weight_sum / max(len(rows), 1), 1e-12)
    gram /= mean
    cross /= mean
    return Sums(gram, cross)


def histories(
    data: Data, tower: SparseTower, rows: NDArray[np.int64], withhold: bool, head: Head
) -> Iterator[tuple[UserRows, NDArray[np.bool_], sparse.csr_array, Floats]]:
    """Yield users, which of their reviews are held, their inputs and their weights, in chunks."""
    for part in chunks(data, rows):
        held = (part.folds == VALIDATION_FOLD) & withhold
        slots = design(tower, hide(data.layout, data.items, part, held)).tocsr()
        weights = np.bincount(part.rows[~held], minlength=len(part)) ** USER_POWER
        yield part, held, slots[:, head.columns.ravel()], weights


def chunks(data: Data, rows: NDArray[np.int64]) -> Iterator[UserRows]:
    """Yield these users, as many at a time as fit."""
    each = max(data.reviews / max(len(data.likers), 1), 1)
    width = 1 + max((block.width for block in past_blocks(data.layout)), default=0)
    step = max(1, int(min(CHUNK_REVIEWS / each, CHUNK_CELLS / width)))
    for start in range(0, len(rows), step):
        yield data.users.read(rows[start : start + step])


def accuracy(columns: int) -> type[np.floating[Any]]:
    """Return the type of a Gram matrix of so many columns."""
    # The ridge keeps the condition low: where it saves time, single precision will do.
    return np.float32 if columns > SINGLE_FROM else np.float64


def precision(data: Data, items: NDArray[np.int64]) -> Floats:
    """Return ``(I + LIKENESS * K)^-1``, ``[head, head]``: ``K`` are the cosines of contents.

    A video's content are its tokens, but for who it is; one without any is like no other.
    """
    if not len(items):
        return np.zeros((0, 0))
    kinds = ("one_hot", "multi_hot")
    width = data.layout.feature_dim("item")
    is_token = np.zeros(width, dtype=np.bool_)
    for block in data.layout.item:
        is_token[block.offset : block.offset + block.width] = block.kind in kinds
    slots = data.items.slots.take(items)
    kept = is_token[slots.positions]
    if not kept.any():
        return np.eye(len(items), dtype=accuracy(len(items)))
    shape = (len(items), width)
    places = (slots.rows[kept], slots.positions[kept])
    tokens = sparse.csr_array((np.ones(int(kept.sum())), places), shape=shape)
    norms = np.sqrt(np.maximum(tokens.sum(axis=1), 1))
    tokens = sparse.csr_array(sparse.diags_array(1 / norms) @ tokens)
    kernel: Floats = LIKENESS * (tokens @ tokens.T).toarray()
    kernel[np.diag_indices_from(kernel)] += 1
    return inverted(kernel.astype(accuracy(len(items)), copy=False))


def solve(sums: Sums, ridge: float, precision: Floats) -> Floats:
    """Return the map from histories to what is found, ``[blocks * head, head]``.

    Args:
        sums: of the users.
        ridge: the penalty.
        precision: how it is shaped, symmetric and positive definite, ``[head, head]``.
    """
    size = sums.cross.shape[1]
    blocks = len(sums.gram) // size

    def penalised(dtype: type[np.floating[Any]]) -> Floats:
        matrix: Floats = sums.gram.astype(dtype)
        for block in range(blocks):
            own_part = slice(block * size, (block + 1) * size)
            matrix[own_part, own_part] += ridge * precision
        return matrix

    try:
        inverse = inverted(penalised(accuracy(len(sums.gram))))
    except linalg.LinAlgError:  # too little of a ridge for single precision
        inverse = inverted(penalised(np.float64))
    solution: Floats = inverse @ sums.cross.astype(inverse.dtype)
    here = np.arange(size)
    own = [here + block * size for block in range(blocks)]
    square = np.stack([np.stack([inverse[a, b] for b in own], axis=1) for a in own], axis=1)
    value = np.stack([solution[a, here] for a in own], axis=1)
    multiplier = np.linalg.solve(square, value[..., None])[..., 0]
    for number, columns in enumerate(own):
        solution -= inverse[:, columns] * multiplier[:, number]
    for columns in own:
        solution[columns, here] = 0  # but for rounding it is
    return solution


def leading(solution: Floats, gram: Floats, rank: int) -> Floats:
    """Return the leading eigenvectors of ``B' Z'WZ B``, ``[head, rank]``, by subspace iteration."""
    size = solution.shape[1]
    gram = gram.astype(solution.dtype, copy=False)
    width = min(rank + OVERSAMPLED, size)
    start = np.random.default_rng(0).standard_normal((size, width))
    basis = _orthonormal(start.astype(solution.dtype))
    for _ in range(ROUNDS):
        basis = _orthonormal(solution.T @ (gram @ (solution @ basis)))
    image = solution @ basis
    _, vectors = linalg.eigh(image.T @ (gram @ image))
    return np.asarray(basis @ vectors[:, ::-1][:, :rank])


def _orthonormal(columns: Floats) -> Floats:
    """Return a basis of what these columns, which are overwritten, span."""
    # numpy's would be of double precision whatever it is given.
    basis: Floats = linalg.qr(columns, mode="economic", overwrite_a=True, check_finite=False)[0]
    return basis
