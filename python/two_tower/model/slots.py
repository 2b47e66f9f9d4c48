"""Arrow's list columns as flat numpy arrays with offsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from two_tower.model.layout import Layout, Slots, Tower


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


def slots(layout: Layout, tower: Tower, batch: pa.RecordBatch | pa.Table) -> Slots:
    """Return the feature slots of rows with ``feature_ids``, ``indices`` and ``values``."""
    ids = Ragged.of(batch["feature_ids"], np.int64)
    return layout.slots(
        tower,
        ids.values,
        Ragged.of(batch["indices"], np.int64).values,
        Ragged.of(batch["values"], np.float32).values,
        ids.offsets,
    )


def one_hot(items: Ragged, width: int) -> sparse.csr_matrix:
    """Return rows of numbers below ``width`` as float32 ones, ``[rows, width]``."""
    ones = np.ones(len(items.values), dtype=np.float32)
    return sparse.csr_matrix((ones, items.values, items.offsets), shape=(len(items), width))
