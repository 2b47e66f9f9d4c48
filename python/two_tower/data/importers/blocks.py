"""Delimited text in blocks: Arrow batches of text columns, with line numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from two_tower.core.errors import InputError

BLOCK_BYTES = 8_000_000


@dataclass(frozen=True)
class Format:
    """The format of a delimited file.

    Attributes:
        delimiter: between fields; may have more than one character if no field holds a tab.
        names: column names, for a file without a header line.
        quoted: whether fields may be in double quotes.
        encoding: encoding of the text.
    """

    delimiter: str
    names: tuple[str, ...] = ()
    quoted: bool = False
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Block:
    """Consecutive lines of a file: its columns as text, and the first line's number (1-based)."""

    path: Path
    first_line: int
    columns: pa.RecordBatch

    def text(self, name: str) -> pa.Array:
        """Return a column as text."""
        return self.columns.column(name)

    def numbers(self, name: str) -> pa.Array:
        """Return a column as float64; an empty field is null.

        Raises:
            InputError: a field is not a finite number; its line is named.
        """
        text = pc.utf8_trim_whitespace(self.text(name))
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
        try:
            numbers = pc.cast(text, pa.float64())
        except pa.ArrowInvalid:
            bad = [not _is_number(field) for field in text.to_pylist()]
            raise self.error(int(np.argmax(bad)), name, "is not a number") from None
        infinite = pc.invert(pc.fill_null(pc.is_finite(numbers), True))
        if pc.any(infinite).as_py():
            raise self.error(pc.index(infinite, True).as_py(), name, "is not a finite number")
        return numbers

    def error(self, row: int, name: str, trouble: str) -> InputError:
        """Return the error for one row of the block."""
        value = self.text(name)[row].as_py()
        return InputError(
            f"{self.path}, line {self.first_line + row}, column {name}: {value!r} {trouble}",
            "fix the line, or take the file from its publisher again",
        )


def _is_number(field: str | None) -> bool:
    try:
        float(field or 0)
    except ValueError:
        return False
    return True


def read(
    path: Path, form: Format, advance: Callable[[float], None] = lambda _: None
) -> Iterator[Block]:
    """Stream a file in blocks of some megabytes.

    Args:
        path: the file.
        form: format of the file.
        advance: called with the bytes read.

    Raises:
        InputError: the file is empty, or lines have the wrong number of fields; the message counts
            them and names the first.
    """
    names = form.names or header(path, form)
    skipped = 0 if form.names else 1
    broken: list[csv.InvalidRow] = []

    def skip(row: csv.InvalidRow) -> str:
        broken.append(row)
        return "skip"

    with path.open("rb") as raw:
        stream: Any = _Stream(raw, form.delimiter.encode(), advance)
        try:
            reader = csv.open_csv(
                pa.PythonFile(stream, "r"),
                csv.ReadOptions(
                    use_threads=False,
                    block_size=BLOCK_BYTES,
                    column_names=names,
                    skip_rows=skipped,
                    encoding=form.encoding,
                ),
                csv.ParseOptions(
                    delimiter=form.delimiter if len(form.delimiter) == 1 else "\t",
                    quote_char='"' if form.quoted else False,
                    invalid_row_handler=skip,
                ),
                csv.ConvertOptions(column_types={name: pa.string() for name in names}),
            )
            line = 1 + skipped
            for batch in reader:
                yield Block(path, line, batch)
                line += batch.num_rows
        except pa.ArrowInvalid as error:
            raise InputError(f"{path} cannot be read: {error}", "is the download whole?") from error
    if broken:
        raise _broken(path, broken)


def header(path: Path, form: Format) -> tuple[str, ...]:
    """Return the column names in a file's first line."""
    with path.open(encoding=form.encoding) as stream:
        line = stream.readline().lstrip("\ufeff").rstrip("\r\n")
    if not line:
        raise InputError(f"{path} is empty", "is the download whole?")
    return tuple(name.strip('"') for name in line.split(form.delimiter))


def _broken(path: Path, rows: "list[csv.InvalidRow]") -> InputError:
    first = rows[0]
    where = f"line {first.number}" if first.number is not None else "a line"
    return InputError(
        f"{path}: {len(rows)} malformed lines; the first, {where}, has {first.actual_columns}"
        f" fields instead of {first.expected_columns}: {first.text[:200]!r}",
        "fix those lines, or take the file from its publisher again",
    )


class _Stream:
    """A binary file that reports the bytes read and replaces a long delimiter by a tab."""

    closed = False

    def __init__(self, raw: Any, delimiter: bytes, advance: Callable[[float], None]) -> None:
        self._raw, self._delimiter, self._advance = raw, delimiter, advance
        self._kept = b""

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self._advance(len(data))
        if len(self._delimiter) == 1:
            return bytes(data)
        # The last byte may be the start of a delimiter: keep it until the rest is read.
        whole = (self._kept + data).replace(self._delimiter, b"\t")
        cut = len(whole) - 1 if data and whole.endswith(self._delimiter[:1]) else len(whole)
        self._kept = whole[cut:]
        return whole[:cut] or (self.read(size) if data else b"")

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
