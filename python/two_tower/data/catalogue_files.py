"""Catalogue files: loaded together, or not at all.

A wrong review costs one row. A wrong catalogue would remove videos from the recommendations, so the
error names its first faults, and the tables do not change.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa

from two_tower.core import progress
from two_tower.core.errors import InputError
from two_tower.data import delivered_files, suppression, text_encoding
from two_tower.data.csv_reader import RULES, WRAPPED, CsvFile, is_wrapped
from two_tower.data.parsing import day, is_no_date, moment
from two_tower.data.text_values import MAX_ID, MAX_URL, clean, is_lossy, value
from two_tower.database import bulk_insert
from two_tower.database.warehouse import Warehouse

MAX_FAULTS = 10
MAX_CATEGORY = 300  # with its category's name it is a token, which an index can hold


@dataclass(frozen=True)
class Column:
    """A column of a catalogue file: how its text is parsed, and what is expected."""

    parse: Callable[[str], Any]
    type: pa.DataType
    expected: str
    is_required: bool = False
    refers_to: str = ""
    """The table whose ``id`` the value must be."""
    max_length: int = 0
    """The most characters; 0: no limit. Values with a limit become keys or tokens."""


@dataclass(frozen=True)
class Table:
    """A catalogue file and the table it fills."""

    columns: dict[str, Column]
    key: tuple[str, ...]
    is_optional: bool = False


# Full-width digits, points and commas are what a Japanese keyboard writes.
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
PRICE = re.compile(
    r"\+?([1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?|([0-9]+\.?[0-9]*|\.[0-9]+)(e\+?[0-9]{1,2})?)",
    re.IGNORECASE,
)
# Python's own reading takes underscores and a sign, too.
UUID_TEXT = re.compile(r"\{?[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.IGNORECASE)


def _uuid(text: str) -> str:
    if UUID_TEXT.fullmatch(text) is None:
        raise ValueError(text)
    return str(UUID(text))


def _price(text: str) -> float:
    plain = text.translate(FULL_WIDTH)
    if PRICE.fullmatch(plain) is None or (value := float(plain.replace(",", ""))) >= 1e12:
        raise ValueError(text)
    return value


def _day(text: str) -> date | None:
    return None if is_no_date(text) else day(text)


def _past(text: str) -> datetime | None:
    at = None if is_no_date(text) else moment(text)
    if at is not None and at > datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1):
        raise ValueError(text)
    return at


def _category(text: str) -> str:
    if "=" in text:  # the token of a category is NAME=VALUE
        raise ValueError(text)
    return text


TEXT = Column(str, pa.string(), "text")
TOKEN = Column(str, pa.string(), "text", max_length=MAX_ID)
URL = Column(str, pa.string(), "a URL", max_length=MAX_URL)
VIDEO = Column(_uuid, pa.string(), "a uuid", is_required=True)
ID = Column(str, pa.string(), "an id", is_required=True, max_length=MAX_ID)

TABLES = {
    "videos": Table(
        {
            "id": VIDEO,
            "title": TEXT,
            "thumbnail_url": TEXT,
            "product_url": URL,
            "source": TOKEN,
            "maker": TOKEN,
            "label": TOKEN,
            "series": TOKEN,
            "price": Column(_price, pa.float64(), "a number from 0 such as 1980 or 1,980.50"),
            "released_on": Column(_day, pa.date32(), "a date such as 2024-07-31, or empty"),
        },
        key=("id",),
    ),
    "tags": Table({"id": ID, "name": TEXT}, key=("id",)),
    "video_tags": Table(
        {
            "video_id": Column(_uuid, pa.string(), "a uuid", True, "videos"),
            "tag_id": Column(str, pa.string(), "an id", True, "tags"),
        },
        key=("video_id", "tag_id"),
    ),
    "performers": Table({"id": ID, "name": TEXT}, key=("id",)),
    "video_performers": Table(
        {
            "video_id": Column(_uuid, pa.string(), "a uuid", True, "videos"),
            "performer_id": Column(str, pa.string(), "an id", True, "performers"),
        },
        key=("video_id", "performer_id"),
    ),
    "users": Table(
        {
            "id": ID,
            "signed_up_at": Column(
                _past,
                pa.timestamp("us"),
                "a time up to now, such as 2024-07-31T12:00:00Z, or empty",
            ),
        },
        key=("id",),
        is_optional=True,
    ),
    "user_categories": Table(
        {
            "user_id": ID,
            "category": Column(
                _category, pa.string(), "a name without '='", is_required=True, max_length=100
            ),
            "value": Column(str, pa.string(), "text", is_required=True, max_length=MAX_CATEGORY),
        },
        key=("user_id", "category", "value"),
        is_optional=True,
    ),
}


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
                parent: {str(row["id"]) for row in warehouse.fetch(f"select id from raw.{parent}")}
                for parent in _parents(name)
            }
            encoding = text_encoding.of(path)
            if encoding == "cp932":
                warn(text_encoding.READ_AS_CP932.format(path))
            warehouse.execute(f"truncate raw.{name}")
            rows, respelled = 0, dict[str, str]()
            file = CsvFile(path, encoding, single_line=frozenset(TABLES[name].key))
            for batch in _read(file, name, ids, respelled, bar.advance):
                bulk_insert.append(warehouse, f"raw.{name}", batch)
                rows += batch.num_rows
            if name in suppression.USER_COLUMNS:
                suppression.recognise(warehouse, respelled)
            warehouse.execute(
                "insert into raw.catalogue_files (file, sha256, rows_loaded, loaded_at, rules)"
                " values (?, ?, ?, current_timestamp at time zone 'UTC', ?)"
                " on conflict (file) do update set sha256 = excluded.sha256,"
                " rows_loaded = excluded.rows_loaded, loaded_at = excluded.loaded_at,"
                " rules = excluded.rules",
                (_key(name), hashes[name], rows, RULES),
            )


def _read(
    file: CsvFile,
    table_name: str,
    ids: dict[str, set[str]],
    respelled: dict[str, str],
    advance: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows, or raise one error for its first faults.

    ``respelled`` is filled with the ids that normalising changed: as written -> as stored.
    """
    table = TABLES[table_name]
    schema = pa.schema([pa.field(name, column.type) for name, column in table.columns.items()])
    file.require(tuple(table.columns))
    if not file.header:
        raise InputError(f"{file.path} is empty", f"its first line is {','.join(table.columns)}")
    places = {name: file.header.index(name) for name in table.columns}
    user_column = suppression.USER_COLUMNS.get(table_name)
    first_lines: dict[tuple[Any, ...], int] = {}
    faults: list[str] = []
    for chunk in file.chunks(advance):
        faults += [f"line {line}: {reason}" for line, reason, _ in chunk.rejected]
        rows = []
        for line, fields, _ in chunk.rows:
            if len(fields) != len(file.header):
                found = f"{len(fields)} fields where the header has {len(file.header)}"
                faults.append(f"line {line}: {WRAPPED if is_wrapped(fields) else found}")
                continue
            row: dict[str, Any] = {}
            for name, column in table.columns.items():
                written = fields[places[name]]
                text = clean(written) if column is TEXT else value(written)
                row[name], fault = _value(column, text, ids)
                if name == user_column and row[name] != written.strip():
                    respelled[written.strip()] = row[name]
                if fault:
                    faults.append(f"line {line}, column {name}: {fault}")
            key = tuple(row[name] for name in table.key)
            first = first_lines.setdefault(key, line)
            if first != line and None not in key:
                shown = ", ".join(map(str, key))
                faults.append(
                    f"line {line}, column {table.key[-1]}: {shown} is on line {first} already"
                )
            rows.append(row)
        if len(faults) >= MAX_FAULTS:
            break
        if not faults:
            yield pa.RecordBatch.from_pylist(rows, schema=schema)
    if faults:
        shown = "\n".join(f"  {fault}" for fault in faults[:MAX_FAULTS])
        raise InputError(
            f"{file.path} is not loaded, nor is the rest of the catalogue:\n{shown}",
            "fix these lines and load again; the tables are as they were",
        )


def _value(column: Column, text: str, ids: dict[str, set[str]]) -> tuple[Any, str]:
    """Return a field's value, and its fault or ``""``."""
    if not text:
        return None, f"it is empty; it must be {column.expected}" if column.is_required else ""
    if column.max_length and len(text) > column.max_length:
        return None, f"it has {len(text):,} characters; {column.max_length:,} are the most"
    if column.max_length and is_lossy(text):
        return None, f"{text[:100]!r} has lost characters"
    try:
        parsed = column.parse(text)
    except ValueError:
        return None, f"{text[:100]!r} is not {column.expected}"
    if column.refers_to and parsed not in ids[column.refers_to]:
        return parsed, f"{text[:100]!r} is not an id in {column.refers_to}.csv: add it there"
    return parsed, ""


def _parents(name: str) -> list[str]:
    return [column.refers_to for column in TABLES[name].columns.values() if column.refers_to]


def _key(name: str) -> str:
    return f"catalogue/{name}.csv"
