"""The encoding of a file whose bytes are all that says it: UTF-8, UTF-16, or the CP932 of Windows.

A byte order mark decides; then UTF-16 whose first characters are ASCII; then UTF-8. A file that is
not valid UTF-8 is either CP932 or UTF-8 that was damaged, as by a copy that was cut off within a
character. Each is valid as the other more often than one would think, so it is not validity that
decides. The bytes are counted as both: how many bits would it take to write them down, given how
common each character is in texts of that encoding? The cheaper one is right, and where both are
dear it is neither.

Bytes that are no text in the encoding become :data:`DAMAGED`, and the line they stand in no row.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from two_tower.core.errors import InputError
from two_tower.data import delivered_files

DAMAGED = "\udcff"
"""Stands for bytes that are no text: a lone surrogate, which no valid text decodes to."""
ON_DAMAGE = "two_tower.damaged"
"""The error handler that puts it there."""
codecs.register_error(ON_DAMAGE, lambda error: (DAMAGED, error.end))  # type: ignore[attr-defined]

READ_AS_CP932 = "{} is not UTF-8: it is read as CP932 (Shift_JIS)"

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_CP932 = dict.fromkeys((0x80, 0xF8F0, 0xF8F1, 0xF8F2, 0xF8F3), DAMAGED)
# The first of three or four bytes in UTF-8 is the first of two in CP932, of a rare character there.
_UTF8_IN_CP932 = bytes(
    byte for lead in range(0xE1, 0xF5) for trail in range(0x80, 0xC0) for byte in (lead, trail)
).decode("cp932", "ignore")
_SUSPECT = re.compile(f"[{_UTF8_IN_CP932}{''.join(map(chr, _NO_CP932))}]")
ENOUGH = 20_000  # characters beyond ASCII to judge by
PIECE = 64 << 10  # bytes judged at once

# Bits a character, about what a model of single characters needs. Kana and full-width signs are the
# most common of Japanese text; a character of the second level of JIS, or half-width kana alone
# between others, is rare there, and what other encodings look like in CP932.
BITS = {"kana": 6, "half": 6, "latin": 8, "common": 9, "rare": 13, "bad": 16}
MARGIN = 3  # bits in favour of UTF-8, in which what is wrong can be seen
DEAR, SLACK = 6.1, 24  # bits a byte; half-width kana need 6. Bits that some damage may cost

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
    """Return the encoding of a file, as Python names it.

    Raises:
        InputError: it is neither UTF-8 nor UTF-16 nor CP932, or cannot be read.
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
    """Return lines that were read as CP932, with what is damaged in them that Python reads.

    That is bytes that are no character, and lines of UTF-8, as where two files were joined.
    """
    if _SUSPECT.search("\n".join(lines)) is None:
        return lines
    return [_checked(line) if _SUSPECT.search(line) else line for line in lines]


def _checked(line: str) -> str:
    try:
        # Text of CP932 that is valid UTF-8 by chance has characters of two bytes at most.
        if max(line.encode("cp932").decode("utf-8")) >= "\u0800":
            return line + DAMAGED
    except UnicodeError:
        pass
    return line.translate(_NO_CP932)


def _is_utf8(path: Path) -> bool:
    """Return whether a file is UTF-8 whole, or up to a character that its end cuts off."""
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
