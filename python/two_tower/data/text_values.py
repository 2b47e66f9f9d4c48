"""Normalisation of text values: spellings that look the same are the same value.

A value is in NFC, without invisible characters at its ends: white space, control characters, byte
order marks, zero-width and bidirectional marks. Those inside it stay. The same rule applies to
files, to ids that a person types and to the app's own tables (macro ``text_value``).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal

from two_tower.core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

# Not variation selectors and tags, which change how the character before them looks.
INVISIBLE = (
    (0x00, 0x20),
    (0x7F, 0xA0),
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180E, 0x180E),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF9, 0xFFFB),
)
"""First and last code point of each trimmed range, as in macros/cross_db/text_value.sql."""
TRIMMED = "".join(chr(code) for first, last in INVISIBLE for code in range(first, last + 1))
MAX_ID = 500
"""The most characters of a key or a token: Postgres can index 2,704 bytes."""
MAX_URL = 2000
LOST = "\ufffd"
"""The replacement character: the original one is lost."""
LOSS = r"\x{fffd}|^[?]{2,}$|^[0-9]([.][0-9]+)?[eE][+][0-9]+$"
"""RE2: keys that are no longer unique: with a replacement character, of question marks only, or a
number that a spreadsheet rounded."""
MISSING = (
    "NULL",
    "null",
    r"\N",
    "NaN",
    "nan",
    "None",
    "<NA>",
    "N/A",
    "#N/A",
    "(null)",
    "undefined",
)
"""What programs write for a missing value: as an id, it would merge all people without one."""


_LOSS = re.compile(LOSS.replace(r"\x{fffd}", LOST))


def clean(text: str) -> str:
    """Return a text in NFC, without invisible characters at its ends."""
    return unicodedata.normalize("NFC", text).strip(TRIMMED)


def clean_column(texts: pa.Array) -> pa.Array:
    """Return :func:`clean` of each text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim(texts, TRIMMED)
    is_other = pc.invert(pc.string_is_ascii(trimmed))
    others = trimmed.filter(is_other)
    if len(others) == 0:
        return trimmed
    # Python's NFC, not Arrow's: their Unicode versions differ.
    return pc.replace_with_mask(
        trimmed, is_other, pa.array([clean(text) for text in others.to_pylist()], pa.string())
    )


def value(text: str) -> str:
    """Return :func:`clean` of a field that is not prose; empty for :data:`MISSING`."""
    cleaned = clean(text)
    return "" if cleaned in MISSING else cleaned


def value_column(texts: pa.Array) -> pa.Array:
    """Return :func:`value` of each text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cleaned = clean_column(texts)
    is_missing = pc.is_in(cleaned, pa.array(MISSING))
    return pc.if_else(is_missing, "", cleaned) if pc.any(is_missing).as_py() else cleaned


def is_lossy(text: str) -> bool:
    """Return whether a key has lost characters, and so may not be unique."""
    return _LOSS.search(text) is not None


def typed(text: str, name: str) -> str:
    """Return :func:`clean` of an argument that a person typed.

    Raises:
        InputError: it is empty, or not text.
    """
    value = clean(text)
    if not value:
        raise InputError(f"{name} is empty", "type an id, as the review files write it")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{name} is not UTF-8 text", "is the terminal's encoding UTF-8?")
    return value


def sql(dialect: Literal["postgres", "duckdb"], expression: str) -> str:
    """Return :func:`clean` of an expression in SQL, as the macro ``text_value`` writes it."""
    escape = r"\u{:04x}" if dialect == "postgres" else r"\x{{{:x}}}"
    ranges = "".join(
        f"{escape.format(max(first, 1))}-{escape.format(last)}" for first, last in INVISIBLE
    )
    in_nfc = (
        f"normalize({expression}, NFC)" if dialect == "postgres" else f"nfc_normalize({expression})"
    )
    return f"regexp_replace({in_nfc}, '^[{ranges}]+|[{ranges}]+$', '', 'g')"
