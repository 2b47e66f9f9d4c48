"""Review files: which rows are reviews, and why the others are not."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from two_tower.csv_files import CsvFile, Rejected, Row

REQUIRED = ("product_url", "reviewer_id", "stars")
OPTIONAL = "reviewed_at"
MAX_REVIEWER_ID = 500  # characters: it becomes a key, and Postgres indexes at most 2,704 bytes

TOO_FEW = "too few fields"
TOO_MANY = "too many fields"
NO_URL = "product_url is empty"
NO_REVIEWER = "reviewer_id is empty"
LONG_REVIEWER = f"reviewer_id is longer than {MAX_REVIEWER_ID} characters"
BAD_STARS = "stars is not a number from 1 to 5"
BAD_MOMENT = "reviewed_at is not a date or a time"

REVIEWS = pa.schema(
    [
        pa.field("line", pa.int64()),
        pa.field("product_url", pa.string()),
        pa.field("reviewer_id", pa.string()),
        pa.field("stars", pa.float64()),
        pa.field("reviewed_at", pa.timestamp("us")),
    ]
)
REJECTED = pa.schema(
    [
        pa.field("line", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("row_text", pa.string()),
    ]
)

_SLASHED = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_EPOCH = re.compile(r"\d{9,10}(\.\d+)?")


@dataclass(frozen=True)
class ReviewBatch:
    """Rows of one block of a review file."""

    reviews: pa.RecordBatch
    """Columns of :data:`REVIEWS`."""
    rejected: pa.RecordBatch
    """Columns of :data:`REJECTED`."""


def read(path: Path, encoding: str, advance: Callable[[int], None]) -> Iterator[ReviewBatch]:
    """Yield a review file's rows, block by block, accepted and rejected.

    Blank lines are not rows. NUL bytes are taken out; what then is a good row is one. In the text
    of a rejected row a NUL shows as ``␀``, and any newline inside it is a line feed.

    Args:
        path: the file.
        encoding: as :func:`two_tower.csv_files.encoding` found it.
        advance: called with the number of bytes that were read.

    Raises:
        InputError: a required column is missing, or the file is no CSV file.
    """
    file = CsvFile(path, encoding, single_line=frozenset((*REQUIRED, OPTIONAL)))
    file.require(REQUIRED)
    for chunk in file.chunks(advance):
        yield _batch(file.header, chunk.rows, chunk.rejected)


@lru_cache(maxsize=4096)
def stars(text: str) -> float | None:
    """Return a rating from 1 to 5, or ``None`` where the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 1 <= value <= 5 and "_" not in text else None


def moment(text: str) -> datetime:
    """Return a moment as UTC without time zone. A text that names no offset is UTC already.

    Accepted: ISO 8601 with or without time and offset; ``YYYY/MM/DD``, with or without ``HH:MM`` or
    ``HH:MM:SS``; seconds since 1970 (9 or 10 digits, decimals allowed).

    Raises:
        ValueError: it is none of these.
    """
    if "/" in text:
        match = _SLASHED.fullmatch(text)
        if match is None:
            raise ValueError(text)
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second)
    if _EPOCH.fullmatch(text):
        return datetime.fromtimestamp(float(text), UTC).replace(tzinfo=None)
    value = datetime.fromisoformat(text)
    offset = value.utcoffset()
    if offset is None:
        return value
    try:
        return value.replace(tzinfo=None) - offset
    except OverflowError as error:
        raise ValueError(text) from error


def _batch(header: list[str], rows: list[Row], rejected: list[Rejected]) -> ReviewBatch:
    width = len(header)
    url_at, reviewer_at, stars_at = (header.index(name) for name in REQUIRED) if rows else (0, 0, 0)
    moment_at = header.index(OPTIONAL) if OPTIONAL in header else None
    lines: list[int] = []
    urls: list[str] = []
    reviewers: list[str] = []
    ratings: list[float] = []
    moments: list[datetime | None] = []
    for line, fields, text in rows:
        if len(fields) != width:
            rejected.append((line, TOO_FEW if len(fields) < width else TOO_MANY, text))
            continue
        url, reviewer = fields[url_at].strip(), fields[reviewer_at].strip()
        rating = stars(fields[stars_at])
        if not url or not reviewer or rating is None or len(reviewer) > MAX_REVIEWER_ID:
            rejected.append((line, _fault(url, reviewer), text))
            continue
        at = None
        if moment_at is not None and (written := fields[moment_at].strip()):
            try:
                at = moment(written)
            except ValueError:
                rejected.append((line, BAD_MOMENT, text))
                continue
        lines.append(line)
        urls.append(url)
        reviewers.append(reviewer)
        ratings.append(rating)
        moments.append(at)
    rejected.sort()
    columns = list(zip(*rejected, strict=True)) or [(), (), ()]
    return ReviewBatch(
        pa.record_batch([lines, urls, reviewers, ratings, moments], schema=REVIEWS),
        pa.record_batch([list(column) for column in columns], schema=REJECTED),
    )


def _fault(url: str, reviewer: str) -> str:
    if not url:
        return NO_URL
    if not reviewer:
        return NO_REVIEWER
    return LONG_REVIEWER if len(reviewer) > MAX_REVIEWER_ID else BAD_STARS
