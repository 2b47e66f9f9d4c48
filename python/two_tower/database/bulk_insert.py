"""Bulk inserts of Arrow batches: binary COPY on Postgres, a scan of the batch on DuckDB."""

import pyarrow as pa

from two_tower.database import binary_copy
from two_tower.database.warehouse import DuckDBWarehouse, PostgresWarehouse, Warehouse


def append(warehouse: Warehouse, table: str, batch: pa.RecordBatch) -> None:
    """Append a batch to a table, matching columns by name. The types are the table's.

    Raises:
        TypeError: a warehouse of an unknown engine.
    """
    if batch.num_rows == 0:
        return
    if isinstance(warehouse, PostgresWarehouse):
        names = batch.schema.names
        with binary_copy.into(warehouse.connection, table, names) as copy:
            copy.write(binary_copy.rows(batch.columns))
    elif isinstance(warehouse, DuckDBWarehouse):
        columns = ", ".join(f'"{name}"' for name in batch.schema.names)
        warehouse.connection.register("appended_batch", batch)
        warehouse.connection.execute(
            f"insert into {table} ({columns}) select {columns} from appended_batch"
        )
        warehouse.connection.unregister("appended_batch")
    else:
        raise TypeError(type(warehouse))


def hold_off_others(warehouse: Warehouse, table: str) -> None:
    """Block other writers of a table until this transaction ends; readers go on.

    On DuckDB there is nothing to do: only one process can write.
    """
    if isinstance(warehouse, PostgresWarehouse):
        warehouse.execute(f"lock table {table} in share row exclusive mode")
