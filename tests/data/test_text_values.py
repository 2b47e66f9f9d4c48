"""What a text value is: in NFC, and nothing invisible at its ends."""

import unicodedata

import pyarrow as pa
import pytest

from two_tower.core.errors import InputError
from two_tower.data import text_values
from two_tower.data.text_values import clean, clean_column

CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("か\u3099", "が"),
        ("\ufeffbob", "bob"),
        ("\u200bbob\u200b", "bob"),
        ("\u202abob\u202c", "bob"),
        (" \u3000bob\t\xa0", "bob"),
        ("\x00bob\x7f", "bob"),
        ("bo\u200bb", "bo\u200bb"),  # inside it may mean something
        ("❤\ufe0f", "❤\ufe0f"),  # a variation selector is seen
        ("葛\U000e0100", "葛\U000e0100"),
        ("ＡＢＣ", "ＡＢＣ"),  # full-width is seen, too
        ("\u200b\ufeff ", ""),
    ],
)
def test_what_nobody_can_tell_apart_is_one_value(written: str, stored: str) -> None:
    assert clean(written) == stored


def test_a_value_is_a_value_already() -> None:
    texts = [f"{ends}{inside}{ends}" for ends in CHARACTERS[:0x3200] for inside in ("", "x")]
    assert [clean(clean(text)) for text in texts] == [clean(text) for text in texts]


def test_a_column_gives_what_single_values_give() -> None:
    written = [f"{c}か\u3099{c}" for c in CHARACTERS] + [f" {c} " for c in CHARACTERS] + CHARACTERS
    assert clean_column(pa.array(written)).to_pylist() == [clean(text) for text in written]
    assert clean_column(pa.array([], pa.string())).to_pylist() == []


def test_white_space_and_what_has_no_glyph_is_trimmed_and_nothing_that_is_seen() -> None:
    trimmed = {c for c in CHARACTERS if not clean(c)}
    assert {c for c in CHARACTERS if c.isspace()} <= trimmed
    assert {unicodedata.category(c) for c in trimmed} <= {
        *("Cc", "Cf", "Zs", "Zl", "Zp"),
        *("Lo", "Mn", "Cn"),  # Hangul and Khmer fillers, a joiner, one that is not assigned
    }
    assert not trimmed & set("aあ亜ア０😀゛゜-_.\ufe0f\U000e0067")


def test_what_is_typed_has_to_be_text() -> None:
    assert text_values.typed(" か\u3099\ufeff", "the id") == "が"
    with pytest.raises(InputError, match="the id is empty"):
        text_values.typed("\u200b", "the id")
    with pytest.raises(InputError, match="not UTF-8"):
        text_values.typed(b"\xff".decode("utf-8", "surrogateescape"), "the id")
