"""Review files: the rows that are reviews, and the reasons why others are rejected."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from two_tower.data.csv_reader import WRAPPED, CsvFile, Lines, Rejected, Row, is_wrapped
from two_tower.data.parsing import is_no_date, moment, moment_column, star_column, stars
from two_tower.data.text_values import LOSS, MAX_ID, MAX_URL, is_lossy, value, value_column

REQUIRED = ("product_url", "reviewer_id", "stars")
OPTIONAL = "reviewed_at"

TOO_FEW = "too few fields"
TOO_MANY = "too many fields"
NO_URL = "product_url is empty"
NO_REVIEWER = "reviewer_id is empty"
LONG_URL = f"product_url is longer than {MAX_URL} characters"
LONG_REVIEWER = f"reviewer_id is longer than {MAX_ID} characters"
LOST_REVIEWER = "reviewer_id has lost characters, as �, ??? and 1.2E+15 have"
BAD_STARS = "stars is not a number from 1 to 5"
BAD_MOMENT = "reviewed_at is not a date or a time"
FUTURE = "reviewed_at is in the future"

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


@dataclass(frozen=True)
class ReviewBatch:
    """The rows of one block of a review file."""

    reviews: pa.RecordBatch
    """Columns of :data:`REVIEWS`."""
    rejected: pa.RecordBatch
    """Columns of :data:`REJECTED`."""
    respelled: dict[str, str]
    """Reviewer ids that normalising changed: as written -> as stored."""

    def decimal_ids(self) -> int:
        """Return the number of reviews by an id such as ``12345.0``: a number badly exported."""
        ids = self.reviews.column("reviewer_id")
        ids = ids.filter(pc.ends_with(ids, ".0"))
        return int(pc.sum(pc.match_substring_regex(ids, "^[0-9]+[.]0$")).as_py() or 0)


def read(
    path: Path, encoding: str, advance: Callable[[int], None], latest: datetime = datetime.max
) -> Iterator[ReviewBatch]:
    """Yield a review file's rows, block by block, accepted and rejected.

    Blank lines are not rows. NUL bytes are removed before a row is checked. In the text of a
    rejected row a NUL is shown as ``␀``, and each newline is a line feed.

    Args:
        path: the file.
        encoding: as :func:`two_tower.data.text_encoding.of` found it.
        advance: called with the number of bytes that were read.
        latest: UTC; later reviews are rejected.

    Raises:
        InputError: a required column is missing, or the file is not a CSV file.
    """
    file = CsvFile(path, encoding, single_line=frozenset((*REQUIRED, OPTIONAL)))
    file.require(REQUIRED)
    for block in file.blocks(advance):
        if isinstance(block, Lines):
            yield _plain_batch(file.header, block, latest)
        else:
            yield _batch(file.header, block.rows, block.rejected, latest)


def _plain_batch(header: list[str], block: Lines, latest: datetime) -> ReviewBatch:
    """Check rows by column, and those that fail there one by one.

    Columns are ten times as fast, and accept only rows that :func:`_batch` accepts.
    """
    lines = pa.array(block.lines, pa.string())
    parts = pc.split_pattern(lines, ",")
    is_split = pc.equal(pc.list_value_length(parts), len(header)).to_numpy(zero_copy_only=False)
    places = np.flatnonzero(is_split)
    parts = parts.filter(pa.array(is_split))

    def column(name: str) -> pa.Array:
        return pc.list_element(parts, header.index(name))

    urls, reviewers = (value_column(column(name)) for name in ("product_url", "reviewer_id"))
    ratings = star_column(value_column(column("stars")))
    moments, is_moment = pa.nulls(len(parts), pa.timestamp("us")), np.ones(len(parts), dtype=bool)
    if OPTIONAL in header:
        moments, is_moment = moment_column(value_column(column(OPTIONAL)))
    is_good = pa.array(is_moment)
    for condition in (
        pc.not_equal(urls, ""),
        pc.less_equal(pc.utf8_length(urls), MAX_URL),
        pc.not_equal(reviewers, ""),
        pc.less_equal(pc.utf8_length(reviewers), MAX_ID),
        pc.invert(pc.match_substring_regex(reviewers, LOSS)),
        ratings.is_valid(),
        pc.fill_null(pc.less_equal(moments, pa.scalar(latest, moments.type)), True),
    ):
        is_good = pc.and_(is_good, condition)
    reviews = pa.record_batch(
        [pa.array(places + block.number), urls, reviewers, ratings, moments], schema=REVIEWS
    ).filter(is_good)
    in_doubt = np.ones(len(lines), dtype=bool)
    in_doubt[places[is_good.to_numpy(zero_copy_only=False)]] = False
    others = _batch(header, block.rows(np.flatnonzero(in_doubt).tolist()), [], latest)
    written = pc.utf8_trim_whitespace(column("reviewer_id").filter(is_good))
    stored = reviews.column("reviewer_id")
    is_other = pc.not_equal(written, stored)
    respelled = zip(
        written.filter(is_other).to_pylist(), stored.filter(is_other).to_pylist(), strict=True
    )
    return ReviewBatch(
        pa.concat_batches([reviews, others.reviews]),
        others.rejected,
        dict(respelled) | others.respelled,
    )


def _batch(
    header: list[str], rows: list[Row], rejected: list[Rejected], latest: datetime
) -> ReviewBatch:
    width = len(header)
    url_at, reviewer_at, stars_at = (header.index(name) for name in REQUIRED) if rows else (0, 0, 0)
    moment_at = header.index(OPTIONAL) if OPTIONAL in header else None
    accepted: list[tuple[int, str, str, float | None, datetime | None]] = []
    respelled: dict[str, str] = {}
    for line, fields, text in rows:
        if len(fields) != width:
            fault = TOO_FEW if len(fields) < width else TOO_MANY
            rejected.append((line, WRAPPED if is_wrapped(fields) else fault, text))
            continue
        url, reviewer = value(fields[url_at]), value(fields[reviewer_at])
        rating = stars(value(fields[stars_at]))
        at, fault = None, _fault(url, reviewer, rating)
        if not fault and moment_at is not None:
            at, fault = _moment(value(fields[moment_at]), latest)
        if fault:
            rejected.append((line, fault, text))
            continue
        accepted.append((line, url, reviewer, rating, at))
        if reviewer != (written := fields[reviewer_at].strip()):
            respelled[written] = reviewer
    return ReviewBatch(
        _record_batch(accepted, REVIEWS), _record_batch(sorted(rejected), REJECTED), respelled
    )


def _record_batch(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.record_batch([list(column) for column in columns], schema=schema)


def _fault(url: str, reviewer: str, rating: float | None) -> str:
    """Return what is wrong with a row, its time aside; ``""`` if nothing is."""
    if not url:
        return NO_URL
    if len(url) > MAX_URL:
        return LONG_URL
    if not reviewer:
        return NO_REVIEWER
    if len(reviewer) > MAX_ID:
        return LONG_REVIEWER
    if is_lossy(reviewer):
        return LOST_REVIEWER
    return BAD_STARS if rating is None else ""


def _moment(written: str, latest: datetime) -> tuple[datetime | None, str]:
    """Return the time, None if there is none, and what is wrong with it."""
    if not written or is_no_date(written):
        return None, ""
    try:
        at = moment(written)
    except ValueError:
        return None, BAD_MOMENT
    return (at, "") if at <= latest else (None, FUTURE)
