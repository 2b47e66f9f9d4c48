"""Review files: which rows are reviews, and why the others are not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from two_tower.csv_files import CsvFile, Lines, Rejected, Row
from two_tower.review_values import moment, moment_column, star_column, stars

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
    for block in file.blocks(advance):
        if isinstance(block, Lines):
            yield _plain_batch(file.header, block)
        else:
            yield _batch(file.header, block.rows, block.rejected)


def _plain_batch(header: list[str], block: Lines) -> ReviewBatch:
    """Take the rows that are beyond doubt by column, and the others one by one.

    Columns are ten times as fast; they only ever accept what :func:`_batch` would.
    """
    lines = pa.array(block.lines, pa.string())
    parts = pc.split_pattern(lines, ",")
    is_split = pc.equal(pc.list_value_length(parts), len(header)).to_numpy(zero_copy_only=False)
    places = np.flatnonzero(is_split)
    parts = parts.filter(pa.array(is_split))

    def column(name: str) -> pa.Array:
        return pc.utf8_trim_whitespace(pc.list_element(parts, header.index(name)))

    urls, reviewers = column("product_url"), column("reviewer_id")
    ratings = star_column(column("stars"))
    moments, is_moment = pa.nulls(len(parts), pa.timestamp("us")), np.ones(len(parts), dtype=bool)
    if OPTIONAL in header:
        moments, is_moment = moment_column(column(OPTIONAL))
    is_good = is_moment & pc.and_(
        pc.and_(pc.not_equal(urls, ""), pc.not_equal(reviewers, "")),
        pc.and_(pc.less_equal(pc.utf8_length(reviewers), MAX_REVIEWER_ID), ratings.is_valid()),
    ).to_numpy(zero_copy_only=False)
    reviews = pa.record_batch(
        [pa.array(places + block.number), urls, reviewers, ratings, moments], schema=REVIEWS
    ).filter(pa.array(is_good))
    in_doubt = np.ones(len(lines), dtype=bool)
    in_doubt[places[is_good]] = False
    others = _batch(header, block.rows(np.flatnonzero(in_doubt).tolist()), [])
    return ReviewBatch(pa.concat_batches([reviews, others.reviews]), others.rejected)


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
