"""What the experts without epochs share: ridge regression of videos on a user's past videos.

An expert is which rows it adds up, inputs ``Z`` (past videos), targets ``X`` (videos to be found)
and weights ``W``, to ``Z'WZ`` and ``Z'WX``, and how it solves them. The solution is reduced to the
rank of the embeddings on the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.layout import Block
from two_tower.model.linear_map import LinearMap, design
from two_tower.training.data.batches import hide, past_blocks
from two_tower.training.data.dataset import Data, UserRows

Floats = NDArray[np.floating[Any]]

# Of more videos the most liked stand for all when the penalty is tried, and for sessions. Up to so
# many, the nearest map of the embeddings' rank ranks as the whole regression does (ADR 18).
MOST_LIKED = 2_000
# Reviews in memory at a time, some hundred MB: after each chunk a dense matrix is added.
CHUNK_REVIEWS = 4_000_000
# Wider Gram matrices are of single precision: the ridge keeps their condition low, and solve()
# repeats in double precision what it does not.
SINGLE_FROM = 1_000


@dataclass(frozen=True)
class Head:
    """The videos that an expert covers: reviewed ones with an index in the histories."""

    items: NDArray[np.int64]  # item numbers, [head]
    columns: NDArray[np.int64]  # their places in the user's flat vector, [blocks, head]
    place: NDArray[np.int64]  # of each video among these, -1 outside, [items]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Rows:
    """Some rows of a regression."""

    inputs: sparse.csr_array  # Z, [rows, blocks * head]
    targets: sparse.csr_array  # X, [rows, head]
    weights: Floats  # the diagonal of W, [rows]
    users: int  # how many users' rows they are


# The rows that an expert makes of some users of the data, int64 [n], for a head.
RowsOf = Callable[[Data, Head, NDArray[np.int64]], Iterator[Rows]]


@dataclass(frozen=True)
class Sums:
    """What a regression needs of its rows."""

    gram: Floats  # Z'WZ, [blocks * head, blocks * head]
    cross: Floats  # Z'WX, [blocks * head, head]


def histories(data: Data) -> list[Block]:
    """Return the blocks that hold a user's history: of relevance, and of all reviews."""
    return [block for block in data.layout.user if block.kind == "history"]


def find_head(data: Data, limit: int, blocks: list[Block]) -> Head:
    """Return the reviewed videos that blocks of past videos know, the ``limit`` most liked."""
    width = min((block.width for block in blocks), default=0)
    index = data.items.identity
    known = np.flatnonzero((index >= 0) & (index < width) & data.seen)
    items = np.sort(known[np.argsort(-data.like_counts[known], kind="stable")][:limit])
    columns = [block.offset + index[items] for block in blocks]
    place = np.full(len(data.items), -1, dtype=np.int64)
    place[items] = np.arange(len(items))
    return Head(items, np.array(columns, dtype=np.int64).reshape(len(blocks), len(items)), place)


def sample(data: Data, most: int, seed: int) -> NDArray[np.int64]:
    """Return the users whom a model is fitted on, at most so many of them."""
    rows = data.fitted
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def users_with(data: Data, reviews: int) -> int:
    """Return how many users have so many training reviews, at least one."""
    return max(int(reviews * len(data.likers) / max(data.reviews, 1)), 1)


def chunks(data: Data, rows: NDArray[np.int64]) -> Iterator[UserRows]:
    """Yield these users, as many at a time as fit: by reviews, and by cells of past videos."""
    each = max(data.reviews / max(len(data.likers), 1), 1)
    width = 1 + max((block.width for block in past_blocks(data.layout)), default=0)
    step = max(1, int(min(CHUNK_REVIEWS / each, 2**28 / width)))
    for start in range(0, len(rows), step):
        yield data.read(rows[start : start + step])


def inputs_of(data: Data, part: UserRows) -> sparse.csr_array:
    """Return users as a model sees them, ``[users, feature_dim + 1]``: what is held is hidden."""
    return design(data.layout, hide(data, part, part.held)).tocsr()


def in_turn(users: UserRows, known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the reviews that are known, bool ``[reviews]``, by user, the oldest first."""
    order = np.lexsort((-users.recency_ranks, users.rows))
    return order[known[order]]


def unit(matrix: sparse.csr_array) -> sparse.csr_array:
    """Return rows of length 1; one of zeros stays one."""
    norms = np.sqrt(matrix.power(2).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1 / np.where(norms > 0, norms, 1)) @ matrix)


def accumulated(
    rows_of: RowsOf, data: Data, head: Head, rows: NDArray[np.int64]
) -> tuple[Sums, float, int]:
    """Add up the rows of these users; return the sums, the sum of the weights, and the users."""
    blocks = data.map(rows, partial(_accumulated, rows_of, head))
    sums, weight, users = next(blocks)
    for other, more, others in blocks:
        sums = Sums(sums.gram + other.gram, sums.cross + other.cross)
        weight, users = weight + more, users + others
    return sums, weight, users


def _accumulated(
    rows_of: RowsOf, head: Head, data: Data, rows: NDArray[np.int64]
) -> tuple[Sums, float, int]:
    """Add up the rows of one block of users."""
    columns = head.columns.size
    # Dense: of many users hardly a pair of videos is without one who knows both.
    dtype = accuracy(columns)
    gram = np.zeros((columns, columns), dtype)
    cross = np.zeros((columns, len(head)), dtype)
    weight, users = 0.0, 0
    for part in rows_of(data, head, rows):
        inputs, targets = part.inputs.astype(dtype), part.targets.astype(dtype)
        weighted = (inputs * part.weights[:, None].astype(dtype)).T.tocsr()
        gram += (weighted @ inputs).toarray()
        cross += (weighted @ targets).toarray()
        weight += float(part.weights.sum())
        users += part.users
    return Sums(gram, cross), weight, users


def mean_per_user(rows_of: RowsOf, data: Data, head: Head, rows: NDArray[np.int64]) -> Sums:
    """Add up the rows of these users, divided by the mean user's weight."""
    sums, weight, users = accumulated(rows_of, data, head, rows)
    mean = max(weight / max(users, 1), 1e-12)
    if not sums.gram.flags.writeable:  # another process has made them
        return Sums(sums.gram / mean, sums.cross / mean)
    sums.gram[:] /= mean
    sums.cross[:] /= mean
    return sums


def accuracy(columns: int) -> type[np.floating[Any]]:
    """Return the type of a Gram matrix of so many columns."""
    return np.float32 if columns > SINGLE_FROM else np.float64


def low_rank(
    config: TrainConfig, data: Data, head: Head, sums: Sums, solution: Floats
) -> LinearMap:
    """Return a solution at its best rank, as a map of all slots and videos."""
    basis = leading(solution, sums.gram, min(config.dim, len(head)))
    return placed(data, head, solution @ basis, basis)


def placed(data: Data, head: Head, user: Floats, item: Floats) -> LinearMap:
    """Return factors of the head's columns and videos as a map of all slots and videos."""
    users = np.zeros((data.layout.feature_dim("user") + 1, user.shape[1]))
    users[head.columns.ravel()] = user
    items = np.zeros((len(data.items), item.shape[1]))
    items[head.items] = item
    return LinearMap(users, items)


def leading(
    solution: Floats, gram: Floats, rank: int, oversampled: int = 32, rounds: int = 2
) -> Floats:
    """Return the leading eigenvectors of ``B' Z'WZ B``, ``[head, rank]``, by subspace iteration.

    On so many columns beyond the rank (Halko, Martinsson & Tropp 2011).
    """
    size = solution.shape[1]
    gram = gram.astype(solution.dtype, copy=False)
    width = min(rank + oversampled, size)
    start = np.random.default_rng(0).standard_normal((size, width))
    basis = _orthonormal(start.astype(solution.dtype))
    for _ in range(rounds):
        basis = _orthonormal(solution.T @ (gram @ (solution @ basis)))
    image = solution @ basis
    _, vectors = linalg.eigh(image.T @ (gram @ image))
    return np.asarray(basis @ vectors[:, ::-1][:, :rank])


def _orthonormal(columns: Floats) -> Floats:
    """Return a basis of what these columns, which are overwritten, span."""
    # numpy's would be of double precision whatever it is given.
    basis: Floats = linalg.qr(columns, mode="economic", overwrite_a=True, check_finite=False)[0]
    return basis
