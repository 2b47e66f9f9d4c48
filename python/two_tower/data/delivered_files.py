"""Delivered files: which files of a folder are read, what the others are, and their bytes.

A gzip file is decompressed while it is read, whatever its name. The error about a file that is
clearly not CSV says what it is.
"""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from two_tower.core.errors import InputError

BLOCK = 4 << 20  # bytes
GZIP = b"\x1f\x8b"
SUFFIXES = (".csv", ".csv.gz")

SAVE_AS = "save it as CSV: in Excel, Save As, CSV UTF-8 (comma delimited)"
UNPACK = "unpack it; .csv.gz is read as it is"
SIGNATURES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook", SAVE_AS),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (GZIP, "a gzip file", UNPACK),
    (b"BZh", "a bzip2 file", UNPACK),
    (b"\xfd7zXZ\0", "an xz file", UNPACK),
    (b"(\xb5/\xfd", "a zstd file", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a rar archive", UNPACK),
    (b"PAR1", "a parquet file", "export it as CSV"),
    (b"SQLite format 3\0", "a SQLite database", "export the table as CSV"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"{\\rtf", "a rich text document", "save it as plain text"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "git lfs pull"),
    (b"<!doctype", "an HTML page", "a download went wrong? fetch the file again"),
    (b"<html", "an HTML page", "a download went wrong? fetch the file again"),
    (b"<?xml", "an XML document", "a download went wrong? fetch the file again"),
    (b"{", "JSON", "export it as CSV"),
    (b"[{", "JSON", "export it as CSV"),
    (b"[\n", "JSON", "export it as CSV"),
)
"""First bytes, the kind of file, and what to do about it. Lower-case bytes match in any case."""


@dataclass
class Delivery:
    """The content of a folder."""

    files: dict[str, Path] = field(default_factory=dict)
    """The files to read, in order: name without ``.gz`` -> path."""
    passed_over: list[str] = field(default_factory=list)
    """A sentence for each file that is not read, hidden files aside."""


def find(folder: Path, is_wanted: Callable[[str], bool], names: str) -> Delivery:
    """Return the content of a folder.

    Args:
        folder: need not exist.
        is_wanted: whether a file of this name, in lower case and without ``.gz``, is read.
        names: the names that are read, for people.

    Raises:
        InputError: the folder cannot be read.
    """
    found = Delivery()
    try:
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read: {error.strerror}", "see its permissions"
        ) from error
    for path in paths:
        name = path.name[:-3] if path.name.lower().endswith(".csv.gz") else path.name
        if path.name.startswith("."):
            continue
        if not path.is_file() or not is_wanted(name.lower()):
            found.passed_over.append(f"{path} is passed over: {_why(path, names)}")
        elif name in found.files:  # the plain one, which is first in order
            found.passed_over.append(f"{path} is passed over: {found.files[name].name} is there")
        else:
            found.files[name] = path
    return found


def _why(path: Path, names: str) -> str:
    if path.is_symlink() and not path.exists():
        return f"a link to {path.readlink()}, which is not there"
    if path.is_dir():
        return "a folder; files in it are not read"
    if not path.is_file():
        return "no regular file"
    try:
        with path.open("rb") as file:
            known = _known(file.read(4096))
    except OSError as error:
        return error.strerror or "it cannot be read"
    return f"it is {known[0]} ({known[1]})" if known else f"the names that are read are {names}"


def _known(start: bytes) -> tuple[str, str] | None:
    """Return the kind of file by its first bytes, and what to do; None if it may be CSV."""
    if start.startswith(b"PK\x03\x04"):
        if any(part in start for part in (b"[Content_Types].xml", b"_rels/.rels", b"xl/")):
            return "an Excel workbook", SAVE_AS
        if b"opendocument.spreadsheet" in start:
            return "an OpenDocument spreadsheet", "save it as CSV, in UTF-8, with commas"
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for signature, what, fix in SIGNATURES:
        if start.startswith(signature) or start.lower().startswith(signature):
            return what, fix
    return None


def blocks(path: Path, advance: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """Yield a file's content in blocks, decompressed if it is gzip.

    Args:
        path: the file.
        advance: called with the number of bytes read from disk.

    Raises:
        InputError: the file cannot be read, or is clearly not CSV.
    """
    try:
        with path.open("rb") as file:
            is_packed = file.peek(2)[:2] == GZIP
            content = gzip.GzipFile(fileobj=file) if is_packed else file
            at, is_first = 0, True
            while block := content.read(BLOCK):
                known = _known(block[:4096]) if is_first else None
                if known:
                    raise InputError(f"{path} is {known[0]}, not CSV", known[1])
                is_first = False
                yield block
                advance(file.tell() - at)
                at = file.tell()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path} is a damaged gzip file: {error}", "it was cut off? copy it again"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}", "see its permissions and its disk"
        ) from error


def sha256(path: Path) -> str:
    """Return the hash of a file's decompressed content, in hex."""
    digest = hashlib.sha256()
    for block in blocks(path):
        digest.update(block)
    return digest.hexdigest()
