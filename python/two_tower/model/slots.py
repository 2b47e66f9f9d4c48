"""Rows of different lengths, as flat numpy arrays with offsets: of Arrow's lists, of features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class Slots:
    """Sparse rows: row ``r`` has ``positions[offsets[r]:offsets[r + 1]]`` with those ``values``.

    Attributes:
        positions: int64 ``[slots]``, places in the flat vector, unique within a row.
        values: float32 ``[slots]``.
        offsets: int64 ``[rows + 1]``, beginning with 0.
    """

    positions: NDArray[np.int64]
    values: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The row of each slot, int64 ``[slots]``."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    def take(self, rows: NDArray[np.int64]) -> Slots:
        """Return a copy of some rows, in the order of ``rows``, int64 ``[n]``."""
        places, offsets = ragged(self.offsets, rows)
        return Slots(self.positions[places], self.values[places], offsets)


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row ``r`` is ``values[offsets[r]:offsets[r + 1]]``.

    Attributes:
        values: ``[values]``.
        offsets: int64 ``[rows + 1]``, beginning with 0.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.Array | pa.ChunkedArray, dtype: type[np.generic]) -> Ragged:
        """Return a list column; a null is a row without values."""
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        values = array.flatten().to_numpy(zero_copy_only=False).astype(dtype)
        return cls(values, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of values of each row, int64 ``[rows]``."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of each value, int64 ``[values]``."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)


def one_hot(items: Ragged, width: int) -> sparse.csr_matrix:
    """Return rows of numbers below ``width`` as float32 ones, ``[rows, width]``."""
    ones = np.ones(len(items.values), dtype=np.float32)
    return sparse.csr_matrix((ones, items.values, items.offsets), shape=(len(items), width))


def ragged(
    offsets: NDArray[Any], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the elements of some ragged rows are, and the offsets of the rows taken.

    Args:
        offsets: integers ``[all rows + 1]``: row ``r`` has elements ``offsets[r]:offsets[r + 1]``.
        rows: row numbers ``[n]``.
    """
    starts = offsets[rows].astype(np.int64)
    lengths = offsets[rows + 1] - starts
    taken = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=taken[1:])
    return np.repeat(starts - taken[:-1], lengths) + np.arange(taken[-1]), taken
