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
# The web is younger: a smaller number of seconds is not a review's time.
_FIRST = datetime(1990, 1, 1)
# Python accepts any character between date and time, even a digit.
_ISO = re.compile(r"[0-9]{4}-?([0-9]{2}-?[0-9]{2}|W[0-9]{2}-?[0-9])([T ].*)?")
# BigQuery and Ruby write a blank before the zone, ISO 8601 does not.
_SPACED_ZONE = re.compile(r"(?<=[0-9]) (?:(?:UTC|GMT|Z)|([+-][0-9]{2}:?[0-9]{2}))$")
# MySQL's value for no date.
NO_DATE = "0000-00-00"
_ZONE = r"(Z|[+-](0\d|1[0-4]):[0-5]\d)"
# Texts that Arrow parses as Python does, if the date exists.
_TIME = r"\d{2}:\d{2}(:\d{2}(\.\d{3}|\.\d{6})?)?"
# Of a time of 16, 19, 23 or 26 characters with Z or an offset behind it: no other text is as long.
_ZONED_LENGTHS = pa.array([n + zone for n in (16, 19, 23, 26) for zone in (1, 6)], pa.int32())
_PLAIN = rf"^[12]\d{{3}}-\d{{2}}-\d{{2}}([ T]{_TIME}{_ZONE}?)?$"


@lru_cache(maxsize=4096)
def stars(text: str) -> float | None:
    """Return a rating from 1 to 5, or ``None`` if the text is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 1 <= value <= 5 and "_" not in text else None


def moment(text: str) -> datetime:
    """Return a time in UTC, without a time zone. A text without an offset is in UTC.

    Accepted: ISO 8601 with or without time and offset, the latter also as `` UTC``; ``YYYY/MM/DD``,
    with or without ``HH:MM`` or ``HH:MM:SS``; of digits alone 8 (a day), 9 or 10 (seconds since
    1970) or 13 (milliseconds), both from 1990 on, with decimals or without.

    Raises:
        ValueError: the text is none of these.
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
    """Return the date as it is written, whatever time and offset follow it.

    Raises:
        ValueError: the text is not a date. Nor is a number of seconds, which has no time zone.
    """
    return _written(text).date()


def _written(text: str) -> datetime:
    """Return a date or a time, with the offset if one is written."""
    slashed = _SLASHED.fullmatch(text)
    if slashed is not None:
        year, month, day, hour, minute, second = (int(part or 0) for part in slashed.groups())
        return datetime(year, month, day, hour, minute, second)
    iso = _SPACED_ZONE.sub(lambda zone: zone[1] or "Z", text.upper())
    if _ISO.fullmatch(iso) is None:
        raise ValueError(text)
    return datetime.fromisoformat(iso)


def is_no_date(text: str) -> bool:
    """Return whether a text is MySQL's value for no date, with or without a time."""
    return text.startswith(NO_DATE)


def star_column(texts: pa.Array) -> pa.Array:
    """Return :func:`stars` of each text, null if it is not a rating."""
    encoded = texts.dictionary_encode()
    ratings = [stars(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(ratings, pa.float64()).take(encoded.indices)


def moment_column(texts: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Return the times of texts as :func:`moment` does, and a mask of the texts it could parse.

    An empty text is null, with mask true. Where the mask is false the time is null, and
    :func:`moment` has to parse the text.
    """
    is_empty = pc.equal(texts, "")
    is_plain = pc.match_substring_regex(texts, _PLAIN)
    plain = pc.if_else(is_plain, texts, None)
    lengths = pc.utf8_length(plain)
    is_zoned = pc.is_in(lengths, _ZONED_LENGTHS)
    try:
        if pc.any(is_zoned).as_py():
            is_day = pc.equal(lengths, 10)
            timed = pc.if_else(is_day, pc.binary_join_element_wise(plain, "T00:00", ""), plain)
            zoned = pc.if_else(is_zoned, timed, pc.binary_join_element_wise(timed, "Z", ""))
            moments = zoned.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
        else:
            moments = plain.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:  # one of them, such as 30 February, does not exist
        moments = pa.nulls(len(texts), pa.timestamp("us"))
        is_plain = pa.repeat(False, len(texts))
    return moments, pc.or_(is_empty, is_plain).to_numpy(zero_copy_only=False)
