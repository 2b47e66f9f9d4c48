"""The landing tables: vectors written in bulk, before the audit.

Postgres: binary COPY. DuckDB: Arrow. Both round vectors to half precision, so that both serve the
same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from two_tower.core.background import ahead
from two_tower.core.train_config import DIM
from two_tower.database import binary_copy
from two_tower.database.warehouse import DuckDBWarehouse, PostgresWarehouse, Warehouse
from two_tower.model.layout import Tower

# Ids as an Arrow text array, and their vectors, float32 [rows, 128].
LandingBatch = tuple[pa.Array, NDArray[np.float32]]

# The table of a tower and its key. It is landed as two_tower.TABLE_landing, served as public.TABLE.
TABLES: dict[Tower, tuple[str, str]] = {
    "user": ("user_embeddings", "user_id"),
    "item": ("video_embeddings", "video_id"),
}


def clear(warehouse: Warehouse) -> None:
    """Empty both landing tables, in the caller's transaction."""
    for table, _ in TABLES.values():
        warehouse.execute(f"truncate two_tower.{table}_landing")


def write(warehouse: Warehouse, tower: Tower, version: str, batches: Iterable[LandingBatch]) -> int:
    """Append rows to the landing table of a tower, in the caller's transaction.

    On Postgres the batches are made on a thread: the next one while one is written.

    Returns:
        the number of rows.
    """
    if isinstance(warehouse, PostgresWarehouse):
        return _copy(warehouse, tower, version, batches)
    assert isinstance(warehouse, DuckDBWarehouse)
    return _insert(warehouse, tower, version, batches)


def _copy(
    warehouse: PostgresWarehouse, tower: Tower, version: str, batches: Iterable[LandingBatch]
) -> int:
    table, key = TABLES[tower]
    count = 0

    def laid_out() -> Iterator[memoryview]:
        nonlocal count
        for ids, vectors in batches:
            columns = [
                _uuids(ids) if tower == "item" else ids.cast(pa.string()),
                binary_copy.vectors(vectors.astype(np.float16), ">f2"),
                pa.repeat(version, len(ids)),
            ]
            yield binary_copy.rows(columns)
            count += len(ids)

    names = (key, "embedding", "version")
    with binary_copy.into(warehouse.connection, f"two_tower.{table}_landing", names) as copy:
        for rows in ahead(laid_out()):
            copy.write(rows)
    return count


def _uuids(texts: pa.Array) -> pa.Array:
    """Return uuids written as 32 digits and 4 hyphens, as 16 bytes."""
    digits = "".join(pc.replace_substring(texts, "-", "").to_pylist())
    return pa.Array.from_buffers(
        pa.binary(16), len(texts), [None, pa.py_buffer(bytes.fromhex(digits))]
    )


def _insert(
    warehouse: DuckDBWarehouse, tower: Tower, version: str, batches: Iterable[LandingBatch]
) -> int:
    table, key = TABLES[tower]
    rows = 0
    for ids, vectors in batches:
        halves = vectors.astype(np.float16).astype(np.float32)
        batch = pa.table(
            {
                "id": ids,
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(halves.ravel()), DIM),
            }
        )
        warehouse.connection.register("landing_batch", batch)
        warehouse.execute(
            f"insert into two_tower.{table}_landing ({key}, embedding, version)"
            " select id, embedding, ? from landing_batch",
            (version,),
        )
        warehouse.connection.unregister("landing_batch")
        rows += len(ids)
    return rows
