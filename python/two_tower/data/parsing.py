"""Ratings, moments and days as people write them: one by one, and whole columns at once."""

import re
from datetime import date, datetime, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_SLASHED = re.compile(
    r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})(?:[ T]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?)?"
)
_NUMBER = re.compile(r"([0-9]+)(\.[0-9]+)?")
_EPOCH = datetime(1970, 1, 1)
# There was no web to review anything on: a number of seconds before it is something else.
_FIRST = datetime(1990, 1, 1)
# Python takes any character between day and time, and so a digit too many for an hour.
_ISO = re.compile(r"[0-9]{4}-?([0-9]{2}-?[0-9]{2}|W[0-9]{2}-?[0-9])([T ].*)?")
# As BigQuery and Ruby write a zone: ISO 8601 has no blank there.
_SPACED_ZONE = re.compile(r"(?<=[0-9]) (?:(?:UTC|GMT|Z)|([+-][0-9]{2}:?[0-9]{2}))$")
# What MySQL writes where there is no date.
NO_DATE = "0000-00-00"
_ZONE = r"(Z|[+-](0\d|1[0-4]):[0-5]\d)"
# What Arrow reads as Python does, if the day exists.
_TIME = r"\d{2}:\d{2}(:\d{2}(\.\d{3}|\.\d{6})?)?"
_PLAIN = rf"^[12]\d{{3}}-\d{{2}}-\d{{2}}([ T]{_TIME}{_ZONE}?)?$"


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

    Accepted: ISO 8601 with or without time and offset, the latter also as `` UTC``; ``YYYY/MM/DD``,
    with or without ``HH:MM`` or ``HH:MM:SS``; of digits alone 8 (a day), 9 or 10 (seconds since
    1970) or 13 (milliseconds), both from 1990 on, with decimals or without.

    Raises:
        ValueError: it is none of these.
    """
    number = _NUMBER.fullmatch(text)
    if number is not None and len(number[1]) in (9, 10, 13):
        unit = "milliseconds" if len(number[1]) == 13 else "seconds"
        value = _EPOCH + timedelta(**{unit: float(text)})
        if value < _FIRST:
            raise ValueError(text)
        return value
    value = _written(text)
    offset = value.utcoffset()
    if offset is None:
        return value
    try:
        return value.replace(tzinfo=None) - offset
    except OverflowError as error:
        raise ValueError(text) from error


def day(text: str) -> date:
    """Return a day as it is written, whatever the time and the offset behind it.

    Raises:
        ValueError: it is none. A number of seconds is not taken for a day: it has no time zone.
    """
    return _written(text).date()


def _written(text: str) -> datetime:
    """Return a day, or a moment with the offset that is written, if there is one."""
    slashed = _SLASHED.fullmatch(text)
    if slashed is not None:
        year, month, day, hour, minute, second = (int(part or 0) for part in slashed.groups())
        return datetime(year, month, day, hour, minute, second)
    iso = _SPACED_ZONE.sub(lambda zone: zone[1] or "Z", text.upper())
    if _ISO.fullmatch(iso) is None:
        raise ValueError(text)
    return datetime.fromisoformat(iso)


def is_no_date(text: str) -> bool:
    """Return whether a text stands for no date at all, with or without a time."""
    return text.startswith(NO_DATE)


def star_column(texts: pa.Array) -> pa.Array:
    """Return :func:`stars` of each text, null where it is no rating."""
    encoded = texts.dictionary_encode()
    ratings = [stars(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(ratings, pa.float64()).take(encoded.indices)


def moment_column(texts: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Return moments as :func:`moment` reads them, and for which of the texts that is sure.

    An empty text is null, surely. Where the second result is false the first is null, and
    :func:`moment` must be asked.
    """
    is_empty = pc.equal(texts, "")
    is_plain = pc.match_substring_regex(texts, _PLAIN)
    plain = pc.if_else(is_plain, texts, None)
    is_day = pc.equal(pc.utf8_length(plain), 10)
    timed = pc.if_else(is_day, pc.binary_join_element_wise(plain, "T00:00Z", ""), plain)
    is_zoned = pc.match_substring_regex(timed, f"{_ZONE}$")
    zoned = pc.if_else(is_zoned, timed, pc.binary_join_element_wise(timed, "Z", ""))
    try:
        moments = zoned.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    except pa.ArrowInvalid:  # one of them, such as 30 February, does not exist
        moments = pa.nulls(len(texts), pa.timestamp("us"))
        is_plain = pa.repeat(False, len(texts))
    return moments, pc.or_(is_empty, is_plain).to_numpy(zero_copy_only=False)
