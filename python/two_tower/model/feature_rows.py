"""What the database says of features: their layout, and rows of them as slots."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from two_tower.core.errors import NotEnoughDataError
from two_tower.database.warehouse import Warehouse
from two_tower.model.layout import Layout, Tower
from two_tower.model.slots import Ragged, Slots


def read_layout(warehouse: Warehouse) -> Layout:
    """Freeze the layout that the database has now.

    Raises:
        NotEnoughDataError: the tables are missing or empty.
    """
    schema = warehouse.schema
    for table in ("feature_layout", "feature_layout_versions"):
        if not warehouse.relation_exists(schema, table):
            raise NotEnoughDataError(f"{schema}.{table} does not exist", "run dbt build first")
    rows = warehouse.fetch(
        "select feature_id, tower, feature, kind, position, vocabulary, width"
        f" from {schema}.feature_layout"
    )
    versions = warehouse.fetch(
        "select versions.input_schema_version, versions.layout_hash"
        f" from {schema}.feature_layout_versions as versions"
        f" where versions.layout_hash = (select max(layout_hash) from {schema}.feature_layout)"
    )
    if not rows or not versions:
        raise NotEnoughDataError(f"{schema}.feature_layout is empty", "run dbt build first")
    current = versions[0]
    return Layout.from_rows(rows, str(current["layout_hash"]), int(current["input_schema_version"]))


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
