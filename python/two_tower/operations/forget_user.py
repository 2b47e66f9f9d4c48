"""Forget a person: ``two-tower forget-user``.

It removes everything stored under the person's id from the database, the registry and the runs.
Models have weights for features and none for people. What the person's reviews contributed to those
weights, and to counts such as popularity, is gone after the next build and training.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from two_tower.artifacts.registry import Registry
from two_tower.core.files import write_whole
from two_tower.core.settings import Settings
from two_tower.data import suppression, text_values
from two_tower.database import ddl, locks
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.evaluation.user_metrics import FILE

USER_FEATURES = "user_features.parquet"


@dataclass(frozen=True)
class Forgotten:
    """What was removed.

    Attributes:
        forgotten_at: when the person was first recorded as forgotten, UTC.
        rows: removed rows by table; tables without any are left out.
        files: files of the registry and the runs from which the person was removed.
        csv_files: delivered files that still name the person. They are not changed; the person's
            rows in them are not loaded again.
    """

    forgotten_at: datetime
    rows: dict[str, int]
    files: list[str]
    csv_files: list[str]


def forget(settings: Settings, user_id: str) -> Forgotten:
    """Remove a person from everything that is stored, and record a hash that keeps them out.

    Idempotent: after an interruption, run it again.

    Raises:
        InputError: the id is empty, or not text.
        BusyError: a run is active, which would write the person's rows again.
        UnavailableError: the database or the registry did not answer.
    """
    user_id = text_values.typed(user_id, "the id")
    with locks.held(settings, locks.RUN, locks.SERVING):
        return _forget(settings, user_id)


def _forget(settings: Settings, user_id: str) -> Forgotten:
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        with warehouse.transaction():
            moment = suppression.record(warehouse, user_id)
            csv_files = [
                str(row["file"])
                for row in warehouse.fetch(
                    "select distinct file from raw.reviews where"
                    f" {text_values.sql(warehouse.dialect, 'reviewer_id')} = ? order by file",
                    (user_id,),
                )
            ]
            rows = _delete(warehouse, user_id)
            csv_files += _catalogue_files(warehouse, rows)
        _vacuum(warehouse, list(rows))
    files = [*_clean_registry(Registry(settings), user_id)]
    files += _clean_runs(settings.path(settings.runs_dir), user_id)
    with open_warehouse(settings) as warehouse:
        if rows or files:
            warehouse.execute(
                "update raw.forgotten_users set removed = ? where removed is null"
                " and forgotten_at = cast(? as timestamp)",
                (json.dumps({"rows": rows, "files": files}), moment),
            )
    return Forgotten(moment, rows, files, csv_files)


def _delete(warehouse: Warehouse, user_id: str) -> dict[str, int]:
    """Delete the person's rows from every table of ours that has a column of users."""
    found = {"raw.reviews": suppression.withhold_reviews(warehouse)}
    if found["raw.reviews"]:
        _recount_files(warehouse)
    if warehouse.dialect == "postgres":
        # Events are append-only but for this transaction.
        warehouse.fetch("select set_config('two_tower.events_may_go', 'on', true)")
    ours = [(f"raw.{name}", column) for name, column in suppression.USER_COLUMNS.items()]
    for table, column in (*ours, *((name, "user_id") for name in _tables(warehouse))):
        # Rows written before ids were normalised may hold another spelling.
        mine = f"{text_values.sql(warehouse.dialect, column)} = ?"
        count = warehouse.fetch(f"select count(*) as n from {table} where {mine}", (user_id,))
        found[table] = int(count[0]["n"])
        if found[table]:
            warehouse.execute(f"delete from {table} where {mine}", (user_id,))
    return {table: count for table, count in found.items() if count}


def _catalogue_files(warehouse: Warehouse, rows: dict[str, int]) -> list[str]:
    """Return the loaded catalogue files that the person's deleted rows came from."""
    loaded = {row["file"] for row in warehouse.fetch("select file from raw.catalogue_files")}
    files = [f"catalogue/{name}.csv" for name in suppression.USER_COLUMNS if f"raw.{name}" in rows]
    return [file for file in files if file in loaded]


def _tables(warehouse: Warehouse) -> list[str]:
    """Return dbt's tables that have a column user_id, and the served vectors.

    The app's own tables in ``public`` are left to the app.
    """
    rows = warehouse.fetch(
        "select t.table_schema, t.table_name from information_schema.tables as t"
        " inner join information_schema.columns as c"
        "  on c.table_schema = t.table_schema and c.table_name = t.table_name"
        " where t.table_type = 'BASE TABLE' and c.column_name = 'user_id'"
        " and (t.table_schema = 'two_tower' or t.table_schema like 'two\\_tower\\_%' escape '\\'"
        "  or t.table_schema = 'public' and t.table_name like 'user\\_embeddings%' escape '\\')"
        " order by t.table_schema, t.table_name"
    )
    return [f'"{row["table_schema"]}"."{row["table_name"]}"' for row in rows]


def _recount_files(warehouse: Warehouse) -> None:
    """Update the counts of the review files, so that read = loaded + rejected."""
    warehouse.execute(
        "update raw.review_files set rows_loaded = (select count(*) from raw.reviews as r"
        " where r.file = review_files.file), rows_rejected = rows_read - (select count(*)"
        " from raw.reviews as r where r.file = review_files.file)"
    )


def _vacuum(warehouse: Warehouse, names: list[str]) -> None:
    """Vacuum: until then the deleted rows' bytes are in the data files."""
    if warehouse.dialect == "duckdb":
        warehouse.execute("checkpoint")
        return
    for name in (*names, "raw.rejected_reviews"):
        warehouse.execute(f"vacuum {name}")


def _clean_registry(registry: Registry, user_id: str) -> list[str]:
    """Publish the latest feature file again, without the person."""
    with tempfile.TemporaryDirectory() as name:
        former = registry.feature_file(USER_FEATURES)
        path = Path(name) / USER_FEATURES
        if former is None:
            return []
        had_person = _without(former, path, user_id)
        former.unlink()  # it is a copy in the models' cache
        if not had_person:
            return []
        rows = pq.ParquetFile(path).metadata.num_rows
        registry.replace_feature_file(USER_FEATURES, path, rows)
    return [f"{registry.storage.url}/{USER_FEATURES}"]


def _clean_runs(runs_dir: Path, user_id: str) -> list[str]:
    """Remove the person from evaluation files, and remove runs that cannot be cleaned."""
    changed = []
    for path in sorted(runs_dir.rglob(FILE)):
        with tempfile.TemporaryDirectory() as name:
            part = Path(name) / FILE
            if _without(path, part, user_id):
                write_whole(path, lambda beside, part=part: shutil.copyfile(part, beside))  # type: ignore[misc]
                changed.append(str(path))
    # An interrupted run trains from a copy without user ids, in which the person cannot be found.
    for dataset in sorted(runs_dir.rglob("dataset/training_users.arrow")):
        shutil.rmtree(dataset.parent.parent)
        changed.append(str(dataset.parent.parent))
    return changed


def _without(source: Path, target: Path, user_id: str) -> bool:
    """Copy a parquet file without the rows of a person; return whether there were any."""
    removed = 0
    with pq.ParquetFile(source) as file, pq.ParquetWriter(target, file.schema_arrow) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            ids = text_values.clean_column(table["user_id"].combine_chunks())
            kept = table.filter(pc.not_equal(ids, pa.scalar(user_id)))
            removed += len(table) - len(kept)
            writer.write_table(kept)
    return removed > 0
