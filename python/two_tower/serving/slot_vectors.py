"""What Postgres encodes a person with, of one version: the weights of its user tower, slot by slot.

A linear tower is a sum: the bias, and for each slot its row of the weights times its value by the
norm of its block. So a person of a second ago has a vector by SQL alone (sql/functions).
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.database import binary_copy
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import PostgresWarehouse, Warehouse
from two_tower.model.layout import NORMALISED_KINDS

TABLES = ("slot_vectors", "slot_blocks", "embedded_as_of")
# The bias, as a slot that everybody has. Features of a layout are numbered from 0.
BIAS_ID, BIAS = -1, "base"
ROWS = 20_000  # that are laid out at once: 11 MB


def features_as_of(warehouse: Warehouse) -> datetime | None:
    """Return the moment that the features of the last build are of (UTC); None before a build."""
    if not warehouse.relation_exists("two_tower", "int_moment"):
        return None
    moment: datetime | None = warehouse.fetch("select as_of from two_tower.int_moment")[0]["as_of"]
    return moment


def land(warehouse: Warehouse, encoder: Encoder, as_of: datetime | None) -> None:
    """Write the slots of a model whose vectors are landed, in the caller's transaction.

    They never change: a version that has some keeps them.
    Those that are neither landed nor served, nor were served before, go. DuckDB has no slots.
    """
    if not isinstance(warehouse, PostgresWarehouse):
        return
    version = encoder.version
    kept = [version, *(str(row["version"]) for row in last_releases(warehouse, 2))]
    for table in TABLES:
        warehouse.execute(f"delete from two_tower.{table} where version <> all (?)", (kept,))
    if not _has_slots(warehouse, version):
        _write(warehouse, encoder)
    if as_of is not None:
        # An earlier moment stays: of it are the vectors that are served already.
        warehouse.execute(
            "insert into two_tower.embedded_as_of values (?, ?) on conflict do nothing",
            (version, as_of),
        )


def refreshed(warehouse: Warehouse, version: str, as_of: datetime | None) -> None:
    """Write down of which moment the vectors are that have replaced the served ones."""
    if isinstance(warehouse, PostgresWarehouse) and as_of is not None:
        warehouse.execute(
            "insert into two_tower.embedded_as_of values (?, ?)"
            " on conflict (version) do update set as_of = excluded.as_of",
            (version, as_of),
        )


def _has_slots(warehouse: Warehouse, version: str) -> bool:
    sql = "select 1 as found from two_tower.slot_blocks where version = ? limit 1"
    return bool(warehouse.fetch(sql, (version,)))


def _write(warehouse: PostgresWarehouse, encoder: Encoder) -> None:
    version, layout = encoder.version, encoder.layout
    weight, bias = encoder.weights["user"]
    blocks: list[tuple[int, str, str, str | None, int, float | None]]
    blocks = [(BIAS_ID, BIAS, "bias", None, 1, None)]
    for b in layout.user:
        added = encoder.shrinkage if b.kind == "history" else 0.0
        shrinkage = added if b.kind in NORMALISED_KINDS else None
        blocks.append((b.feature_id, b.feature, b.kind, b.vocabulary, b.width, shrinkage))
    for block in blocks:
        warehouse.execute(
            "insert into two_tower.slot_blocks values (?, ?, ?, ?, ?, ?, ?, ?)",
            (version, *block, layout.layout_hash),
        )
    widths = [block[4] for block in blocks]
    feature_ids = np.repeat([block[0] for block in blocks], widths)
    indices = np.concatenate([np.arange(width) for width in widths])
    vectors = np.vstack([bias, weight])
    # A slot that says nothing is no slot: who has no other is known by nothing.
    says = vectors.any(axis=1) | (feature_ids == BIAS_ID)
    feature_ids, indices, vectors = feature_ids[says], indices[says], vectors[says]
    names = ("version", "feature_id", "index", "embedding")
    with binary_copy.into(warehouse.connection, "two_tower.slot_vectors", names) as copy:
        for first in range(0, len(vectors), ROWS):
            rows = slice(first, first + ROWS)
            columns = [
                pa.repeat(version, len(vectors[rows])),
                pa.array(feature_ids[rows], pa.int16()),
                pa.array(indices[rows], pa.int32()),
                binary_copy.vectors(vectors[rows], ">f4"),
            ]
            copy.write(binary_copy.rows(columns))
