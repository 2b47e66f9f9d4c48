"""Detection of a file's encoding from its bytes: UTF-8, UTF-16, or CP932 (Windows' Shift_JIS).

A byte order mark decides first, then UTF-16 that begins with ASCII characters, then valid UTF-8. A
file that is not valid UTF-8 is CP932, or damaged UTF-8, such as a copy cut off within a character.
Validity does not tell these two apart: each is often valid as the other. So the code length in bits
is estimated in both encodings, from how common each kind of character is in such texts. The shorter
one wins; if both are long, the file is in neither.

Bytes that are not text in the encoding become :data:`DAMAGED`, and their line is not a row.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from two_tower.core.errors import InputError
from two_tower.data import delivered_files

DAMAGED = "\udcff"
"""Replaces bytes that are not text: a lone surrogate, which no valid text decodes to."""
ON_DAMAGE = "two_tower.damaged"
"""The name of the error handler that inserts it."""
codecs.register_error(ON_DAMAGE, lambda error: (DAMAGED, error.end))  # type: ignore[attr-defined]

READ_AS_CP932 = "{} is not UTF-8: it is read as CP932 (Shift_JIS)"

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_CP932 = dict.fromkeys((0x80, 0xF8F0, 0xF8F1, 0xF8F2, 0xF8F3), DAMAGED)
# The first two bytes of a UTF-8 character of three or four are a rare character in CP932.
_UTF8_IN_CP932 = bytes(
    byte for lead in range(0xE1, 0xF5) for trail in range(0x80, 0xC0) for byte in (lead, trail)
).decode("cp932", "ignore")
_SUSPECT = re.compile(f"[{_UTF8_IN_CP932}{''.join(map(chr, _NO_CP932))}]")
ENOUGH = 20_000  # bytes beyond ASCII that are enough to decide
PIECE = 64 << 10  # bytes examined at once

# Estimated bits per character in a unigram model. Kana and full-width signs are the most common in
# Japanese text. Kanji of JIS level 2 and single half-width kana are rare in it, and are what other
# encodings look like when they are read as CP932.
BITS = {"kana": 6, "half": 6, "latin": 8, "common": 9, "rare": 13, "bad": 16}
MARGIN = 3  # bits in favour of UTF-8, in which damage is found
# A file in neither encoding needs more than 6.1 bits per byte (half-width kana need 6), and 24 bits
# for damaged bytes.
DEAR, SLACK = 6.1, 24

_UTF8 = re.compile(
    rb"(?P<kana>\xe3[\x80-\x83][\x80-\xbf]|\xef\xbc[\x80-\xbf]|\xef\xbd[\x80-\x9f])"
    rb"|(?P<latin>[\xc2-\xdf][\x80-\xbf])"
    rb"|(?P<common>\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})"
    rb"|(?P<bad>[\x80-\xff])"
)
_CP932 = re.compile(
    rb"(?P<kana>[\x81-\x83][\x40-\x7e\x80-\xfc])"
    rb"|(?P<common>[\x84\x87-\x98\xed\xee\xfa-\xfc][\x40-\x7e\x80-\xfc])"
    rb"|(?P<half>[\xa6-\xdf]{2,}|(?<![\x80-\xff])[\xa6-\xdf](?![\x80-\xff]))"
    rb"|(?P<rare>[\x99-\x9f\xe0-\xea][\x40-\x7e\x80-\xfc]|[\xa1-\xdf])"
    rb"|(?P<bad>[\x80-\xff])"
)


def of(path: Path) -> str:
    """Return the encoding of a file, by Python's name.

    Raises:
        InputError: the file is in none of UTF-8, UTF-16 and CP932, or cannot be read.
    """
    start = next(delivered_files.blocks(path), b"")[:64]
    for mark, name in BOMS.items():
        if start.startswith(mark):
            return name
    if len(start) >= 4 and all(start[0::2]) and not any(start[1::2]):
        return "utf-16-le"
    if len(start) >= 4 and all(start[1::2]) and not any(start[0::2]):
        return "utf-16-be"
    return "utf-8" if _is_utf8(path) else _judged(path)


def checked_cp932(lines: list[str]) -> list[str]:
    """Return lines decoded as CP932, with damage marked that Python's decoder accepts.

    That is bytes without a character, and lines in UTF-8, as in concatenated files.
    """
    if _SUSPECT.search("\n".join(lines)) is None:
        return lines
    return [_checked(line) if _SUSPECT.search(line) else line for line in lines]


def _checked(line: str) -> str:
    try:
        # CP932 that is valid UTF-8 by chance decodes to characters of at most two bytes.
        if max(line.encode("cp932").decode("utf-8")) >= "\u0800":
            return line + DAMAGED
    except UnicodeError:
        pass
    return line.translate(_NO_CP932)


def _is_utf8(path: Path) -> bool:
    """Return whether a file is valid UTF-8; its last character may be cut off."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for block in delivered_files.blocks(path):
            if decoder.getstate()[0] or not block.isascii():
                decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True


def _judged(path: Path) -> str:
    bits = {"utf-8": -float(MARGIN), "cp932": 0.0}
    size = dict.fromkeys(bits, 0)
    for piece in _pieces_beyond_ascii(path):
        for name, pattern in (("utf-8", _UTF8), ("cp932", _CP932)):
            for found in pattern.finditer(piece):
                length = found.end() - found.start()
                kind = str(found.lastgroup)
                # A run of half-width kana is as many characters as bytes.
                bits[name] += BITS[kind] * (length if kind == "half" else 1)
                size[name] += length
        if size["utf-8"] > ENOUGH:
            break
    name = min(bits, key=lambda name: bits[name])
    if bits[name] > DEAR * size[name] + SLACK:
        raise InputError(f"{path} is neither UTF-8 nor CP932 (Shift_JIS)", "save it as UTF-8")
    return name


def _pieces_beyond_ascii(path: Path) -> Iterator[bytes]:
    for block in delivered_files.blocks(path):
        for start in range(0, len(block), PIECE):
            piece = block[start : start + PIECE]
            if not piece.isascii():
                yield piece
