"""Bulk inserts of Arrow batches: COPY on Postgres, a scan of the batch on DuckDB."""

import io

import pyarrow as pa
import pyarrow.csv

from two_tower.database.warehouse import DuckDBWarehouse, PostgresWarehouse, Warehouse


def append(warehouse: Warehouse, table: str, batch: pa.RecordBatch) -> None:
    """Append a batch to a table, matching columns by name. Text is cast to the column's type.

    Raises:
        TypeError: a warehouse of an unknown engine.
    """
    if batch.num_rows == 0:
        return
    columns = ", ".join(f'"{name}"' for name in batch.schema.names)
    if isinstance(warehouse, PostgresWarehouse):
        text = io.BytesIO()
        # Null is written as nothing, an empty string as "": COPY reads them back as such.
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
        pyarrow.csv.write_csv(batch, text, options)
        with (
            warehouse.connection.cursor() as cursor,
            cursor.copy(f"copy {table} ({columns}) from stdin (format csv)") as copy,
        ):
            copy.write(text.getbuffer())
    elif isinstance(warehouse, DuckDBWarehouse):
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
