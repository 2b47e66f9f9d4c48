"""CSV files as people write them: several encodings, any newlines, NUL bytes, unclosed quotes.

A file is read in blocks, in constant memory. Every row keeps its text and the line it starts on
(1-based, the header counts), so that an error can be found in an editor.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from two_tower.core.errors import InputError
from two_tower.data import delivered_files, text_encoding, text_values
from two_tower.data.text_encoding import DAMAGED

MAX_LINE = 1 << 20  # characters; a longer line is not a row of a CSV file
MAX_RECORD_LINES = 200  # lines of one row, with newlines in a quoted field
MAX_HEADER_LINES = 10  # lines of a header, with newlines in a spreadsheet's cells

RULES = 3
"""The version of the parsing rules. Raised when the same bytes give other rows: files are then read
again."""

NOT_CLOSED = "a quote is not closed"
MALFORMED = "quotes are malformed"
FIELD_TOO_LONG = f"a field is longer than {csv.field_size_limit()} characters"
WRAPPED = "the row is one quoted field"
NOT_TEXT = "bytes that are no text in the file's encoding"

# A first line that tells Excel the separator, and is not shown.
SEPARATOR_LINE = re.compile(r'"?sep=(?P<separator>.)"?,*', re.IGNORECASE)
# ="00123" keeps a spreadsheet from reading an id as a number; the value is 00123.
CONSTANT = re.compile(r'\s*="([^"]*)"\s*')
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}

Row = tuple[int, list[str], str]
"""The line a row starts on, its fields, and its text as it stood."""
Rejected = tuple[int, str, str]
"""The line a refused row starts on, the reason, and its text as it stood."""


@dataclass(frozen=True)
class Chunk:
    """The parsed rows of one block of a file."""

    rows: list[Row]
    rejected: list[Rejected]
    """Rows with malformed quotes, or with bytes that are not text."""


@dataclass(frozen=True)
class Lines:
    """The lines of one block without quotes, NULs or damage: each that is not blank is a row."""

    number: int
    """Of the first line."""
    lines: list[str]

    def rows(self, places: Iterable[int]) -> list[Row]:
        """Return the rows at these places (0-based) of the block."""
        return [
            (self.number + i, line.split(","), line)
            for i in places
            if not _is_blank(line := self.lines[i])
        ]


class CsvFile:
    """The rows of one CSV file."""

    def __init__(self, path: Path, encoding: str, single_line: frozenset[str]) -> None:
        """Read the header.

        Args:
            path: the file.
            encoding: as :func:`two_tower.data.text_encoding.of` found it.
            single_line: columns without newlines in their values. A newline in one shows an
                unclosed quote, which would otherwise swallow the rows behind it.

        Raises:
            InputError: the header cannot be read, names a column twice, is one quoted field, or has
                another separator than commas.
        """
        self.path = path
        self._encoding = encoding
        self._above = 0  # lines up to the end of the header
        self.header = self._read_header()
        self._single_line = [i for i, name in enumerate(self.header) if name in single_line]

    def require(self, columns: tuple[str, ...]) -> None:
        """Check that the header has these columns.

        Raises:
            InputError: it lacks some; the message names them and the columns found.
        """
        missing = [name for name in columns if name not in self.header]
        if missing and self.header:
            found = ", ".join(self.header)[:300].replace(DAMAGED, text_values.LOST)
            raise InputError(
                f"{self.path}: the header lacks {', '.join(missing)}; it has: {found}",
                f"the first line names the columns: {', '.join(columns)} (in any order)",
            )

    def chunks(self, advance: Callable[[int], None]) -> Iterator[Chunk]:
        """Yield the rows below the header as :meth:`blocks` does, all of them split."""
        for block in self.blocks(advance):
            if isinstance(block, Lines):
                yield Chunk(block.rows(range(len(block.lines))), [])
            else:
                yield block

    def blocks(self, advance: Callable[[int], None]) -> Iterator[Chunk | Lines]:
        """Yield the rows below the header, block by block; blank lines are not rows.

        Args:
            advance: called with the number of bytes that were read.

        Raises:
            InputError: a line is too long to be a row.
        """
        lines: list[str] = []
        number = 1
        for new_lines, dirty, final in self._lines(advance):
            dirty = dirty or bool(lines)
            lines += new_lines
            if not self.header:
                continue  # of blank lines alone
            if number <= self._above:
                skipped = min(self._above - number + 1, len(lines))
                number, lines = number + skipped, lines[skipped:]
            if dirty:
                chunk, used = self._parse(lines, number, final)
                yield chunk
            else:
                yield Lines(number, lines)
                used = len(lines)
            number, lines = number + used, lines[used:]

    def _read_header(self) -> list[str]:
        for lines, _, _ in self._lines(lambda _: None):
            index = _header_index(lines)
            for line in lines[: None if index is None else index + 1]:
                self._refuse_other_separators(line)
            if index is None:
                self._above += len(lines)
                continue
            try:
                span, fields = _header_fields(lines[index : index + MAX_HEADER_LINES])
            except csv.Error as error:
                raise InputError(
                    f"{self.path}, line {index + 1}: the header cannot be read: {error}",
                    "its names need no quotes: product_url,reviewer_id,stars",
                ) from error
            self._above += index + span
            if is_wrapped(fields):
                raise InputError(
                    f"{self.path}, line {index + 1}: each row is one quoted field: {lines[index]}",
                    f"take the quotes around whole rows away, as in {fields[0]}; often a program"
                    " has packed a line of CSV into CSV again",
                )
            header = [text_values.clean(name).casefold() for name in fields]
            twice = sorted({name for name in header if name and header.count(name) > 1})
            if twice:
                raise InputError(
                    f"{self.path}, line {index + 1}: the header names {', '.join(twice)} twice",
                    "rename or remove one of the columns",
                )
            return header
        return []

    def _refuse_other_separators(self, line: str) -> None:
        """Refuse a header, or a ``sep=`` line before it, with another separator than commas.

        Such files often have decimal commas too, so ``4,5`` would be ambiguous.
        """
        said = SEPARATOR_LINE.fullmatch(line.strip())
        for separator, name in SEPARATORS.items():
            if said["separator"] == separator if said else separator in line and "," not in line:
                raise InputError(
                    f"{self.path}: its columns are separated by {name}",
                    "save it with commas between the columns (Excel: CSV UTF-8, comma delimited),"
                    " and a point in numbers",
                )

    def _lines(self, advance: Callable[[int], None]) -> Iterator[tuple[list[str], bool, bool]]:
        """Yield lists of whole lines without newlines, whether they hold quotes, NULs or damage,
        and whether they are the last.
        """
        # It turns \r\n and \r into \n, also where a block ends between the two.
        decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(self._encoding)(errors=text_encoding.ON_DAMAGE),
            translate=True,
        )
        number, rest, final = 1, "", False
        blocks = delivered_files.blocks(self.path, advance)
        while not final:
            block = next(blocks, b"")
            final = not block
            text = decoder.decode(block, final=final)
            # A byte order mark before the first line, or more than one.
            text = rest + (text.lstrip("\ufeff") if number == 1 and not rest else text)
            lines = text.split("\n")
            rest = "" if final else lines.pop()
            if len(rest) > MAX_LINE or max(map(len, lines), default=0) > MAX_LINE:
                at = next(i for i, x in enumerate([*lines, rest]) if len(x) > MAX_LINE)
                raise InputError(
                    f"{self.path}, line {number + at} is longer than {MAX_LINE} characters",
                    "is it a CSV file? rows end with a newline",
                )
            if self._encoding == "cp932" and not text.isascii():
                lines = text_encoding.checked_cp932(lines)
            is_damaged = not text.isascii() and any(DAMAGED in line for line in lines)
            is_dirty = is_damaged or '"' in text or "\0" in text
            yield lines, is_dirty, final
            number += len(lines)

    def _parse(self, lines: list[str], number: int, final: bool) -> tuple[Chunk, int]:
        """Parse lines with quotes, NULs or damage; return the rows and the number of lines used."""
        rows: list[Row] = []
        rejected: list[Rejected] = []
        at = 0
        while at < len(lines):
            line = lines[at].replace("\0", "")
            span = 1
            outcome: list[str] | str = []
            if '"' in line:
                span, outcome = self._record(lines, at, final)
                if not span:
                    break
            elif not _is_blank(line):
                outcome = line.split(",")
            text = "\n".join(lines[at : at + span])
            if DAMAGED in text:
                outcome = NOT_TEXT
            text = text.replace("\0", "␀").replace(DAMAGED, text_values.LOST)
            if isinstance(outcome, str):
                rejected.append((number + at, outcome, text))
            elif outcome:
                rows.append((number + at, outcome, text))
            at += span
        return Chunk(rows, rejected), at

    def _record(self, lines: list[str], at: int, final: bool) -> tuple[int, list[str] | str]:
        """Parse the row that starts at ``at``; return its number of lines and its fields or fault.

        0 lines: the row continues in the next block.
        """
        for end in range(at + 1, min(at + MAX_RECORD_LINES, len(lines)) + 1):
            if end > at + 1 and '"' not in lines[end - 1]:
                continue  # a line without a quote cannot close one
            # Concatenated files have byte order marks in the middle.
            text = "\n".join(lines[at:end]).replace("\0", "").lstrip("\ufeff")
            try:
                (fields,) = csv.reader([text], strict=True, skipinitialspace=True)
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    continue
                too_long = "field larger" in str(error)
                if end > at + 1 and not too_long:
                    return 1, NOT_CLOSED
                return 1, FIELD_TOO_LONG if too_long else MALFORMED
            if end > at + 1 and any(
                i < len(fields) and "\n" in fields[i] for i in self._single_line
            ):
                return 1, NOT_CLOSED
            if '="' in text:
                fields = [CONSTANT.sub(r"\1", x) if CONSTANT.fullmatch(x) else x for x in fields]
            return end - at, fields
        if final or len(lines) - at >= MAX_RECORD_LINES:
            return 1, NOT_CLOSED
        return 0, NOT_CLOSED


def is_wrapped(fields: list[str]) -> bool:
    """Return whether a row is one quoted field that holds the real ones."""
    return len(fields) == 1 and "," in fields[0]


def _header_index(lines: list[str]) -> int | None:
    """Return the index of the first line that is neither blank nor ``sep=``."""
    for i, line in enumerate(lines):
        text = line.replace("\0", "").strip()
        if not _is_blank(text) and not SEPARATOR_LINE.fullmatch(text):
            return i
    return None


def _header_fields(lines: list[str]) -> tuple[int, list[str]]:
    """Return the number of lines of the header, and its names.

    Raises:
        csv.Error: its quotes are malformed.
    """
    for span in range(1, len(lines) + 1):
        text = "\n".join(lines[:span]).replace("\0", "")
        try:
            (fields,) = csv.reader([text], strict=True, skipinitialspace=True)
        except csv.Error as error:
            if span < len(lines) and "unexpected end of data" in str(error):
                continue
            raise
        return span, [CONSTANT.sub(r"\1", name).replace("\n", " ") for name in fields]
    raise AssertionError


def _is_blank(line: str) -> bool:
    """Return whether a line shows nothing, like the ^Z at the end of old DOS files."""
    return not line.strip(text_values.TRIMMED)
