"""The tables of a catalogue: their columns, and how the text of each is parsed."""

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow as pa

from two_tower.data.parsing import day, is_no_date, moment
from two_tower.data.text_values import MAX_ID, MAX_URL, clean, is_lossy, value

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


def _uuid(text: str) -> UUID:
    if UUID_TEXT.fullmatch(text) is None:
        raise ValueError(text)
    return UUID(text)


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
VIDEO = Column(_uuid, pa.uuid(), "a uuid", is_required=True)
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
            "video_id": Column(_uuid, pa.uuid(), "a uuid", True, "videos"),
            "tag_id": Column(str, pa.string(), "an id", True, "tags"),
        },
        key=("video_id", "tag_id"),
    ),
    "performers": Table({"id": ID, "name": TEXT}, key=("id",)),
    "video_performers": Table(
        {
            "video_id": Column(_uuid, pa.uuid(), "a uuid", True, "videos"),
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


def parsed(column: Column, written: str, ids: Mapping[str, Set[Any]]) -> tuple[Any, str]:
    """Return a field's value, and its fault or ``""``.

    Args:
        column: of the field.
        written: the field's text.
        ids: of the tables that columns refer to.
    """
    text = clean(written) if column is TEXT else value(written)
    if not text:
        return None, f"it is empty; it must be {column.expected}" if column.is_required else ""
    if column.max_length and len(text) > column.max_length:
        return None, f"it has {len(text):,} characters; {column.max_length:,} are the most"
    if column.max_length and is_lossy(text):
        return None, f"{text[:100]!r} has lost characters"
    try:
        found = column.parse(text)
    except ValueError:
        return None, f"{text[:100]!r} is not {column.expected}"
    if column.refers_to and found not in ids[column.refers_to]:
        return found, f"{text[:100]!r} is not an id in {column.refers_to}.csv: add it there"
    return found, ""
