"""What every peer is: a grid, and a fit that gives a model which scores all videos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.quality.exchange import Ints, Problem

Scores = NDArray[np.float32]
Parameters = Mapping[str, Any]


class Model(Protocol):
    """A fitted peer."""

    def scores(self, users: Ints) -> Scores:
        """Return the score of every video for users of the training rows, ``[users, items]``."""


class FoldIn(Model, Protocol):
    """A peer that also answers people without a training review."""

    def scores_of_likes(self, likes: sparse.csr_matrix) -> Scores:
        """Return ``[people, items]`` for rows of likes."""


class Fit(Protocol):
    """Fits a peer with one choice of hyper-parameters."""

    def __call__(self, problem: Problem, **parameters: Any) -> Model:
        """Fit on the problem's training reviews."""


@dataclass(frozen=True)
class Peer:
    """One peer.

    Attributes:
        fit: fits it.
        grid: the values that each hyper-parameter is tried with, all combinations of them.
    """

    fit: Fit
    grid: Mapping[str, Iterable[Any]] = field(default_factory=dict)

    def choices(self) -> list[dict[str, Any]]:
        """Return every combination of the grid."""
        return [
            dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())
        ]


@dataclass(frozen=True)
class LinearModel:
    """Scores are a user's history times a matrix.

    Attributes:
        history: ``[users, columns]``, sparse.
        weights: ``[columns, items]``, dense or sparse.
        columns_per_like: how often the likes stand side by side in a history: 2 where the second
            block holds all reviews, of which somebody who only names likes has the very same.
    """

    history: sparse.csr_matrix
    weights: Any
    columns_per_like: int = 1

    def scores(self, users: Ints) -> Scores:
        """See :class:`Model`."""
        return _dense(self.history[users] @ self.weights)

    def scores_of_likes(self, likes: sparse.csr_matrix) -> Scores:
        """See :class:`FoldIn`."""
        history = sparse.hstack([likes] * self.columns_per_like, format="csr")
        return _dense(history @ self.weights)


def _dense(values: Any) -> Scores:
    dense: Scores = values.toarray() if sparse.issparse(values) else np.asarray(values)
    return dense.astype(np.float32)
