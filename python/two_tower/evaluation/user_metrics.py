"""The metrics of each user in an evaluation: ``user_metrics.parquet`` in the run's folder.

One row per user, model and slice: user_id, model, slice, and one column per metric (float64; NaN
where it is not defined for the user). The metadata identify what was measured on, so that only
comparable runs are compared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from two_tower.core.errors import InputError
from two_tower.core.files import write_whole
from two_tower.evaluation.metrics import Floats
from two_tower.evaluation.ranking import HeldOut

FILE = "user_metrics.parquet"
KEYS = ("user_id", "model", "slice")


class UserMetrics:
    """Collects the metrics of each user during an evaluation.

    Args:
        items: number of videos that are ranked.
    """

    def __init__(self, items: int) -> None:
        self._items = items
        self._users: dict[str, bytes] = {}
        self._order: list[NDArray[np.str_]] = []
        self._tables: list[pa.Table] = []

    def add_users(self, users: HeldOut) -> None:
        """Add the next batch of users, with a hash of their seen videos and targets."""
        self._order.append(users.user_ids)
        parts = (users.seen, users.targets)
        for row, user_id in enumerate(users.user_ids):
            digest = hashlib.sha256()
            for part in parts:
                numbers = np.sort(part.values[part.offsets[row] : part.offsets[row + 1]])
                digest.update(f"{len(numbers)}:".encode() + numbers.astype("<i8").tobytes())
            self._users[str(user_id)] = digest.digest()

    def add_columns(self, model: str, name: str, columns: dict[str, Floats]) -> None:
        """Add the metrics of one model and slice for the users that were added last.

        Args:
            model: name of the model.
            name: the slice.
            columns: metric -> ``[users]``, for as many of the users added last, in their order.
        """
        count = len(next(iter(columns.values())))
        ids = np.concatenate(self._order)[-count:]
        keys = {"user_id": ids, "model": [model] * count, "slice": [name] * count}
        self._tables.append(pa.table({**keys, **columns}))

    def write(self, run: Path, version: str, split: str, split_seed: str) -> None:
        """Write the file atomically."""
        digest = hashlib.sha256(str(self._items).encode())
        for user_id in sorted(self._users):
            digest.update(user_id.encode() + b"\0" + self._users[user_id])
        metadata = {
            "version": version,
            "split": split,
            "split_seed": split_seed,
            "measured_on": digest.hexdigest(),
        }
        table = pa.concat_tables(self._tables).sort_by([(name, "ascending") for name in KEYS])
        table = table.replace_schema_metadata(metadata)
        write_whole(run / FILE, lambda path: pq.write_table(table, path, compression="zstd"))


@dataclass(frozen=True)
class Measured:
    """The file of one run, read.

    Attributes:
        version: version of the run.
        split: protocol or split strategy.
        split_seed: seed of the split.
        measured_on: hash of the users, their targets and seen videos, and the catalogue's size.
        table: see the module.
    """

    version: str
    split: str
    split_seed: str
    measured_on: str
    table: pa.Table

    @classmethod
    def read(cls, run: Path, version: str) -> Measured:
        """Read a run's file.

        Raises:
            InputError: the run has no such file.
        """
        path = run / FILE
        if not path.exists():
            raise InputError(
                f"{path} does not exist: run {version} was not evaluated",
                f"two-tower evaluate --version {version}, or with --protocol",
            )
        table = pq.read_table(path)
        found = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        return cls(
            version=found["version"],
            split=found["split"],
            split_seed=found["split_seed"],
            measured_on=found["measured_on"],
            table=table,
        )

    @property
    def slices(self) -> list[str]:
        """The slices of the file."""
        return sorted(set(self.table["slice"].to_pylist()))

    @property
    def metrics(self) -> list[str]:
        """The metrics of the file."""
        return [name for name in self.table.column_names if name not in KEYS]

    def columns(self, model: str, name: str, metrics: list[str]) -> Floats:
        """Return metrics of one model and slice, ``[users, metrics]``, ordered by user id."""
        inside = pc.and_(pc.equal(self.table["model"], model), pc.equal(self.table["slice"], name))
        rows = self.table.filter(inside)
        return np.stack([rows[metric].to_numpy() for metric in metrics], axis=1)
