"""EASE over users: ridge regression of a user's reviews on their history, without epochs.

Each review counts as far as it is relevant, and a video says nothing for itself (Steck 2019,
"Embarrassingly shallow autoencoders for sparse data", here with several blocks). With
``P = (Z'WZ + ridge * penalty)^-1``, ``B0 = P Z'WX`` and ``S`` the columns of video ``i`` in all
blocks, column ``i`` of the map is ``B0 - P[:, S] P[S, S]^-1 B0[S]``. The map is then reduced to its
best rank on the training rows.

Videos of like content should mean alike, and of most videos few histories tell: the penalty is not
``I`` but ``(I + LIKENESS * K)^-1``, ``K`` the cosines of the videos' contents (a Gaussian prior on
each column of the map; compare kernel ridge regression).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from two_tower.core.background import raise_if_cancelled
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap
from two_tower.training.data.dataset import Data
from two_tower.training.experts import regression
from two_tower.training.experts.cholesky import inverted
from two_tower.training.experts.regression import MOST_LIKED, Floats, Head, Rows, Sums
from two_tower.training.experts.weighted_svd import MAX_CELLS, weighted_svd, weighted_users

name = "ease"
# As the first it has what the others leave.
weights: tuple[float, ...] = (1.0,)
least_gain = 0.0

# The penalty where none is chosen (docs/quality.md).
RIDGE = 5.0
# How much two videos of the same content are expected to mean the same (docs/quality.md).
LIKENESS = 0.3
# A user with n reviews weighs n^USER_POWER; plain EASE has 1 (docs/quality.md).
USER_POWER = 0.5


def applies(config: TrainConfig, data: Data) -> bool:
    """Return whether a history knows any video."""
    return len(head_of(config, data)) > 0


def head_of(config: TrainConfig, data: Data) -> Head:
    """Return the videos it covers, by the first history, which says most.

    In the sum another history adds nothing to it that the towers and the sessions do not.
    """
    return regression.find_head(data, config.closed_form_items, regression.histories(data)[:1])


def fit(config: TrainConfig, data: Data) -> LinearMap | None:
    """Regress the reviews of users on their histories; None where nothing is relevant.

    Of many videos the low rank leaves more out: where all users' scores fit in memory, it is
    nearest to the regression where lists are made.
    """
    head, ridge = head_of(config, data), config.ridge or RIDGE
    sums = add_up(config, data, head)
    if not sums.cross.any():
        return None
    solution = solve(sums, ridge, precision(data, head.items))
    if len(head) <= MOST_LIKED or len(data.fitted) * len(head) > MAX_CELLS:
        return regression.low_rank(config, data, head, sums, solution)
    basis = regression.leading(solution, sums.gram, config.dim)
    users = weighted_users(rows_of(data, head, data.fitted))
    return regression.placed(data, head, *weighted_svd(solution, basis, sums.gram, ridge, users))


def add_up(config: TrainConfig, data: Data, head: Head) -> Sums:
    """Pass over the users once, or 200,000: more change the sums little, and take their time."""
    rows = regression.sample(data, 200_000, config.seed)
    return regression.mean_per_user(rows_of, data, head, rows)


def rows_of(data: Data, head: Head, rows: NDArray[np.int64]) -> Iterator[Rows]:
    """Yield a row a user: their history, and their reviews as far as they are relevant."""
    for part in regression.chunks(data, rows):
        relevance = part.relevances * ~part.held
        norms = np.sqrt(np.bincount(part.rows, relevance**2, minlength=len(part)))
        inside = (relevance > 0) & (head.place[part.items] >= 0)
        users = part.rows[inside]
        targets = sparse.csr_array(
            (relevance[inside] / norms[users], (users, head.place[part.items[inside]])),
            shape=(len(part), len(head)),
        )
        weights = np.bincount(part.rows[~part.held], minlength=len(part)) ** USER_POWER
        inputs = regression.inputs_of(data, part)[:, head.columns.ravel()]
        yield Rows(inputs, targets, weights, len(part))


def precision(data: Data, items: NDArray[np.int64]) -> Floats:
    """Return ``(I + LIKENESS * K)^-1``, ``[head, head]``, ``K`` the cosines of contents.

    A video's content are its tokens, but for who it is; one without any is like no other.
    """
    if not len(items):
        return np.zeros((0, 0))
    width = data.layout.feature_dim("item")
    is_token = np.zeros(width, dtype=np.bool_)
    for block in data.layout.item:
        inside = slice(block.offset, block.offset + block.width)
        is_token[inside] = block.kind in ("one_hot", "multi_hot")
    slots = data.items.slots.take(items)
    kept = is_token[slots.positions]
    if not kept.any():
        return np.eye(len(items), dtype=regression.accuracy(len(items)))
    places = (slots.rows[kept], slots.positions[kept])
    tokens = sparse.csr_array((np.ones(int(kept.sum())), places), shape=(len(items), width))
    norms = np.sqrt(np.maximum(tokens.sum(axis=1), 1))
    tokens = sparse.csr_array(sparse.diags_array(1 / norms) @ tokens)
    kernel: Floats = LIKENESS * (tokens @ tokens.T).toarray()
    kernel[np.diag_indices_from(kernel)] += 1
    return inverted(kernel.astype(regression.accuracy(len(items)), copy=False))


def solve(sums: Sums, ridge: float, precision: Floats) -> Floats:
    """Return the map from histories to what is found, ``[blocks * head, head]``.

    Args:
        sums: of the users.
        ridge: the penalty.
        precision: how it is shaped, symmetric and positive definite, ``[head, head]``.
    """
    raise_if_cancelled()
    size = sums.cross.shape[1]
    here = np.arange(size)
    own = [here + start for start in range(0, len(sums.gram), size)]

    def inverse_of(dtype: type[np.floating[Any]]) -> Floats:
        matrix: Floats = sums.gram.astype(dtype)
        for columns in own:
            block = slice(columns[0], columns[0] + size)
            matrix[block, block] += ridge * precision
        return inverted(matrix)

    try:
        inverse = inverse_of(regression.accuracy(len(sums.gram)))
    except linalg.LinAlgError:  # too little of a ridge for single precision
        inverse = inverse_of(np.float64)
    solution: Floats = inverse @ sums.cross.astype(inverse.dtype)
    square = np.stack([np.stack([inverse[a, b] for b in own], axis=1) for a in own], axis=1)
    value = np.stack([solution[a, here] for a in own], axis=1)
    multiplier = np.linalg.solve(square, value[..., None])[..., 0]
    for number, columns in enumerate(own):
        solution -= inverse[:, columns] * multiplier[:, number]
    for columns in own:
        solution[columns, here] = 0  # but for rounding it is
    return solution
