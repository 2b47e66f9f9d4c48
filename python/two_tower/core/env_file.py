"""The project's ``.env``: the names it sets, and errors that pydantic-settings ignores.

pydantic-settings reads the values. It skips misspelt names and malformed lines without a word.
"""

import codecs
import difflib
import io
import re
from collections.abc import Iterable
from pathlib import Path

from dotenv.parser import parse_stream

from two_tower.core.errors import InputError

OURS = re.compile(r"TWO_?TOWER|DATABASE_URL", re.IGNORECASE)
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def names(path: Path) -> list[str]:
    """Return the names that a ``.env`` sets; an empty list if there is no such file.

    Raises:
        InputError: the file is not UTF-8, or a line with one of our settings is not NAME=value.
    """
    if not path.is_file():
        return []
    bindings = list(parse_stream(io.StringIO(_text(path))))
    for binding in bindings:
        if binding.error and OURS.search(binding.original.string):
            start = binding.original.string
            line = binding.original.line + start[: len(start) - len(start.lstrip())].count("\n")
            raise InputError(
                f"{path}, line {line}: not NAME=value",
                "write NAME=value, one a line; a quote that opens a value has to close it",
            )
    return [binding.key for binding in bindings if binding.key is not None]


def unknown(given: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a warning for each name that looks like a setting of this project and is none.

    Args:
        given: names as written.
        known: names of settings; one that ends in ``__`` is a prefix.
    """
    known = sorted(known)
    begun = tuple(name for name in known if name.endswith("__"))
    found = []
    for name in sorted(set(given)):
        upper = name.upper()
        is_ours = re.sub("[^A-Z]", "", upper).startswith("TWOTOWER")
        if is_ours and upper not in known and not upper.startswith(begun):
            near = difflib.get_close_matches(upper, known, n=1, cutoff=0)
            found.append(f"{name} is not a setting and has no effect; did you mean {near[0]}?")
    return found


def _text(path: Path) -> str:
    """Return the text of a file, without a byte order mark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "see its permissions") from error
    if data.startswith(WIDE) or b"\0" in data:
        raise InputError(f"{path} is UTF-16, not UTF-8", _save_as("UTF-16", path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        try:
            data.decode("cp932")
        except UnicodeDecodeError:
            hint = "save it as UTF-8"
        else:
            hint = f"if it is CP932 (Shift_JIS): {_save_as('CP932', path)}"
        raise InputError(f"{path}, line {line}: not UTF-8", hint) from None


def _save_as(encoding: str, path: Path) -> str:
    return (
        f"save it as UTF-8, in an editor or with"
        f" iconv -f {encoding} -t UTF-8 {path.name} > env.utf8 && mv env.utf8 {path.name}"
    )
