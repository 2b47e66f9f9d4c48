"""The landing tables: vectors written in bulk, before the audit.

Postgres: binary COPY, laid out by numpy as one structured array per id length, without a loop over
rows. DuckDB: Arrow. Both round vectors to half precision, so that both serve the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from two_tower.core.train_config import DIM
from two_tower.database.warehouse import DuckDBWarehouse, PostgresWarehouse, Warehouse
from two_tower.model.layout import Tower

# Ids as an Arrow text array, and their vectors, float32 [rows, 128].
LandingBatch = tuple[pa.Array, NDArray[np.float32]]

# The table of a tower and its key. It is landed as two_tower.TABLE_landing, served as public.TABLE.
TABLES: dict[Tower, tuple[str, str]] = {
    "user": ("user_embeddings", "user_id"),
    "item": ("video_embeddings", "video_id"),
}
# https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
HALFVEC_BYTES = 4 + 2 * DIM  # dimensions, a spare int16, the halves


def clear(warehouse: Warehouse) -> None:
    """Empty both landing tables, in the caller's transaction."""
    for table, _ in TABLES.values():
        warehouse.execute(f"truncate two_tower.{table}_landing")


def write(warehouse: Warehouse, tower: Tower, version: str, batches: Iterable[LandingBatch]) -> int:
    """Append rows to the landing table of a tower, in the caller's transaction.

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
    statement = (
        f"copy two_tower.{table}_landing ({key}, embedding, version) from stdin (format binary)"
    )
    rows = 0
    with warehouse.connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(SIGNATURE)
        for ids, vectors in batches:
            groups = _uuid_bytes(ids) if tower == "item" else _text_bytes(ids)
            for places, id_bytes in groups:
                copy.write(copy_rows(id_bytes, vectors[places], version.encode()))
            rows += len(ids)
        copy.write(TRAILER)
    return rows


def copy_rows(ids: NDArray[np.uint8], vectors: NDArray[np.floating], version: bytes) -> bytes:
    """Return rows of (id, halfvec, version) in the binary format of COPY.

    Args:
        ids: bytes of the ids, uint8 ``[rows, length]``.
        vectors: float ``[rows, 128]``.
        version: bytes of the third column, the same in each row.
    """
    layout = np.dtype(
        [
            ("fields", ">i2"),
            ("id_length", ">i4"),
            ("id", "u1", (ids.shape[1],)),
            ("vector_length", ">i4"),
            ("dim", ">i2"),
            ("spare", ">i2"),
            ("vector", ">f2", (DIM,)),
            ("version_length", ">i4"),
            ("version", "u1", (len(version),)),
        ]
    )
    rows = np.zeros(len(ids), dtype=layout)
    rows["fields"] = 3
    rows["id_length"] = ids.shape[1]
    rows["id"] = ids
    rows["vector_length"] = HALFVEC_BYTES
    rows["dim"] = DIM
    rows["vector"] = vectors.astype(np.float16)
    rows["version_length"] = len(version)
    rows["version"] = np.frombuffer(version, dtype=np.uint8)
    return rows.tobytes()


def _text_bytes(ids: pa.Array) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield the ids in groups of equal length: their places, and uint8 ``[rows, length]``."""
    array = ids.cast(pa.large_string())
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset :][: len(array) + 1]
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    lengths = np.diff(offsets)
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        yield places, data[offsets[places][:, None] + np.arange(length)]


def _uuid_bytes(ids: pa.Array) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield the uuids, which are one group: all places, and uint8 ``[rows, 16]``."""
    for places, text in _text_bytes(ids):
        digits = text[:, text[0] != ord("-")]
        parsed = np.frombuffer(bytes.fromhex(digits.tobytes().decode()), dtype=np.uint8)
        yield places, parsed.reshape(len(places), 16)


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
