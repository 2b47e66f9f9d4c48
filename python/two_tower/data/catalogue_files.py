"""Catalogue files: loaded together, or not at all.

A wrong review costs one row. A wrong catalogue would remove videos from the recommendations, so the
error names its first faults, and the tables do not change.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from two_tower.core import progress
from two_tower.core.errors import InputError
from two_tower.data import delivered_files, suppression, text_encoding
from two_tower.data.catalogue_tables import TABLES, parsed
from two_tower.data.csv_reader import RULES, WRAPPED, Chunk, CsvFile, is_wrapped
from two_tower.database import bulk_insert
from two_tower.database.warehouse import Warehouse

_Fault = tuple[int, int, str]
"""The line of a row, the place of the column in its table, and what is wrong."""
MAX_FAULTS = 10


def load(folder: Path, warehouse: Warehouse, warn: Callable[[str], None]) -> dict[str, int]:
    """Load the changed catalogue files in one transaction, and return the rows per table.

    The result is empty if the folder has no catalogue file.

    Args:
        folder: of the files.
        warehouse: where to load them.
        warn: called with each warning.

    Raises:
        InputError: a file is missing or has wrong rows; no table has changed.
    """
    names = [f"{name}.csv" for name in TABLES]
    delivery = delivered_files.find(folder, names.__contains__, f"{', '.join(names)}, also .csv.gz")
    for text in delivery.passed_over:
        warn(text)
    present: dict[str, Path] = {}
    for file, path in delivery.files.items():
        if present.setdefault(file.lower().removesuffix(".csv"), path) != path:
            warn(f"{path} is passed over: {file.lower()} is there in another spelling")
    if not present:
        return {}
    missing = [f"{n}.csv" for n, t in TABLES.items() if n not in present and not t.is_optional]
    if missing:
        raise InputError(
            f"{folder} lacks {', '.join(missing)}",
            "add them (a header alone will do), or remove the folder if the app's own tables serve",
        )
    hashes = {name: delivered_files.sha256(path) for name, path in present.items()}
    known = {
        str(row["file"]): row["sha256"]
        for row in warehouse.fetch(
            "select file, sha256 from raw.catalogue_files where rules = ?", (RULES,)
        )
    }
    changed = {name for name in present if known.get(_key(name)) != hashes[name]}
    if changed:
        # Also read files that refer to a changed one: it may lack rows that they point to.
        changed |= {name for name in present if changed & set(_parents(name))}
        with warehouse.transaction():
            bulk_insert.hold_off_others(warehouse, "raw.catalogue_files")
            # Parents first, as in TABLES.
            paths = {name: present[name] for name in TABLES if name in changed}
            _replace(warehouse, paths, hashes, warn)
            suppression.withhold_users(warehouse)
        for name in sorted(changed):
            warehouse.execute(f"analyze raw.{name}")
    counts = warehouse.fetch("select file, rows_loaded from raw.catalogue_files")
    loaded = {str(row["file"]): int(row["rows_loaded"]) for row in counts}
    return {name: loaded[_key(name)] for name in TABLES if name in present}


def _replace(
    warehouse: Warehouse,
    paths: dict[str, Path],
    hashes: dict[str, str],
    warn: Callable[[str], None],
) -> None:
    with progress.bar("catalogue", sum(path.stat().st_size for path in paths.values())) as bar:
        for name, path in paths.items():
            ids = {
                parent: {row["id"] for row in warehouse.fetch(f"select id from raw.{parent}")}
                for parent in _parents(name)
            }
            encoding = text_encoding.of(path)
            if encoding == "cp932":
                warn(text_encoding.READ_AS_CP932.format(path))
            warehouse.execute(f"truncate raw.{name}")
            count, rows = 0, _Rows(name, ids)
            file = CsvFile(path, encoding, single_line=frozenset(TABLES[name].key))
            for batch in _read(file, rows, bar.advance):
                bulk_insert.append(warehouse, f"raw.{name}", batch)
                count += batch.num_rows
            suppression.recognise(warehouse, rows.respelled)
            warehouse.execute(
                "insert into raw.catalogue_files (file, sha256, rows_loaded, loaded_at, rules)"
                " values (?, ?, ?, current_timestamp at time zone 'UTC', ?)"
                " on conflict (file) do update set sha256 = excluded.sha256,"
                " rows_loaded = excluded.rows_loaded, loaded_at = excluded.loaded_at,"
                " rules = excluded.rules",
                (_key(name), hashes[name], count, RULES),
            )


def _read(file: CsvFile, rows: "_Rows", advance: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows, or raise one error for its first faults."""
    names = rows.schema.names
    file.require(tuple(names))
    if not file.header:
        raise InputError(f"{file.path} is empty", f"its first line is {','.join(names)}")
    faults: list[str] = []
    for chunk in file.chunks(advance):
        batch, found = rows.batch(file.header, chunk)
        faults += found
        if len(faults) >= MAX_FAULTS:
            break
        if not faults:
            yield batch
    if faults:
        shown = "\n".join(f"  {fault}" for fault in faults[:MAX_FAULTS])
        raise InputError(
            f"{file.path} is not loaded, nor is the rest of the catalogue:\n{shown}",
            "fix these lines and load again; the tables are as they were",
        )


class _Rows:
    """The rows of one file, checked column by column: a text that is there often is parsed once.

    Attributes:
        schema: of the table.
        respelled: ids of users that normalising changed: as written -> as stored.
    """

    def __init__(self, name: str, ids: dict[str, set[Any]]) -> None:
        columns = TABLES[name].columns
        self.schema = pa.schema([pa.field(key, column.type) for key, column in columns.items()])
        self.respelled: dict[str, str] = {}
        self._table, self._ids = TABLES[name], ids
        self._user_column = suppression.USER_COLUMNS.get(name)
        self._first_lines: dict[tuple[Any, ...], int] = {}

    def batch(self, header: list[str], chunk: Chunk) -> tuple[pa.RecordBatch, list[str]]:
        """Return a block's rows, and their faults in the order of lines and columns."""
        found: list[_Fault] = []
        lines, rows = [], []
        for line, fields, _ in chunk.rows:
            if len(fields) == len(header):
                lines.append(line)
                rows.append(fields)
            else:
                count = f"{len(fields)} fields where the header has {len(header)}"
                found.append((line, 0, f": {WRAPPED if is_wrapped(fields) else count}"))
        texts = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
        values = {}
        for place, name in enumerate(self.schema.names):
            values[name], wrong = self._column(name, texts.get(name, ()))
            found += [(lines[i], place, f", column {name}: {fault}") for i, fault in wrong]
        if self._user_column:
            written = map(str.strip, texts.get(self._user_column, ()))
            pairs = zip(written, values[self._user_column], strict=True)
            self.respelled |= {text: stored for text, stored in pairs if text != stored}
        found += self._repeated(lines, [values[name] for name in self._table.key])
        faults = [f"line {line}: {reason}" for line, reason, _ in chunk.rejected]
        faults += [f"line {line}{fault}" for line, _, fault in sorted(found)]
        return pa.record_batch([*values.values()], schema=self.schema), faults

    def _column(self, name: str, texts: Sequence[str]) -> tuple[list[Any], list[tuple[int, str]]]:
        """Return a column's values, and the places (0-based) and faults of those that have one."""
        column = self._table.columns[name]
        known = {text: parsed(column, text, self._ids) for text in set(texts)}
        wrong = {text for text, (_, fault) in known.items() if fault}
        return (
            [known[text][0] for text in texts],
            [(i, known[text][1]) for i, text in enumerate(texts) if text in wrong] if wrong else [],
        )

    def _repeated(self, lines: list[int], keys: list[list[Any]]) -> Iterator[_Fault]:
        """Yield a fault for each row whose key is on an earlier line."""
        for line, key in zip(lines, zip(*keys, strict=True), strict=True):
            first = self._first_lines.setdefault(key, line)
            if first != line and None not in key:
                shown = ", ".join(map(str, key))
                text = f", column {self._table.key[-1]}: {shown} is on line {first} already"
                yield line, len(self.schema), text


def _parents(name: str) -> list[str]:
    return [column.refers_to for column in TABLES[name].columns.values() if column.refers_to]


def _key(name: str) -> str:
    return f"catalogue/{name}.csv"
