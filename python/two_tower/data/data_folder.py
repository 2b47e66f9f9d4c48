"""A data folder that a command fills: it replaces only its own files, each atomically."""

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Self

import pyarrow as pa
from pyarrow import csv

from two_tower.core.errors import InputError
from two_tower.core.settings import REVIEW_FILES

MARKER = "origin.json"
PARTS = ("reviews", "catalogue")


class DataFolder:
    """The folder of ``reviews/`` and ``catalogue/``, with a marker of the command that filled it.

    A context manager: if its block fails, the files are removed.

    Args:
        path: the folder.
        origin: the command that fills it. It may replace its own files only: the reviews of two
            data sets must not share one catalogue.
        review_files: how review files are named; ``*`` stands for the part that tells them apart.

    Raises:
        InputError: the folder holds files of your own, or of another command.
    """

    def __init__(self, path: Path, origin: str, review_files: str = REVIEW_FILES) -> None:
        self.path = path
        self.origin = origin
        self._review_files = review_files
        self.written: list[str] = []
        self._known = self._read_marker()
        self._refuse_foreign_files()
        for part in PARTS:
            (path / part).mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.written:
            for name in (*self._known, MARKER):
                (self.path / name).unlink(missing_ok=True)

    def review_file(self, name: str) -> str:
        """Return the name of a review file, below the folder."""
        return f"reviews/{self._review_files.replace('*', name)}"

    def write(self, name: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Write one file atomically."""
        if name not in self._known:
            # Before the file: the next run refuses files that the marker does not name.
            self._known.add(name)
            self._mark({})
        self.written.append(name)
        self._replace(name, chunks)

    def finish(self, figures: dict[str, object]) -> list[str]:
        """Remove an earlier run's other files, write the marker, and return the files' paths."""
        for name in self._known - set(self.written):
            (self.path / name).unlink(missing_ok=True)
        self._known = set(self.written)
        self._mark(figures)
        return [str(self.path / name) for name in self.written]

    def _replace(self, name: str, chunks: Iterable[bytes | memoryview]) -> None:
        target = self.path / name
        partial = target.with_name(target.name + ".part")
        try:
            with partial.open("wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def _mark(self, figures: dict[str, object]) -> None:
        content = {"origin": self.origin, "files": sorted(self._known), **figures}
        self._replace(MARKER, [json.dumps(content, indent=2, ensure_ascii=False).encode()])

    def _read_marker(self) -> set[str]:
        marker = self.path / MARKER
        if not marker.exists():
            return set()
        try:
            origin, files = _origin(marker)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{marker} is not the marker of a data folder: {error!r}",
                "move it away if this folder is yours, or remove the folder",
            ) from error
        if origin != self.origin:
            raise InputError(
                f"{self.path} was filled by `two-tower {origin}`, not by `two-tower {self.origin}`",
                "remove that folder, or choose another one with TWO_TOWER_DATA_DIR",
            )
        return files

    def _refuse_foreign_files(self) -> None:
        found = {
            file.relative_to(self.path).as_posix()
            for part in PARTS
            for file in (self.path / part).glob("*")
            if file.suffix != ".part"
        }
        foreign = sorted(found - self._known)
        if foreign:
            raise InputError(
                f"{self.path / foreign[0]} was not written by `two-tower {self.origin}`"
                + (f" (nor were {len(foreign) - 1} other files)" if len(foreign) > 1 else ""),
                "choose another folder with TWO_TOWER_DATA_DIR, or move your own files away",
            )


def filled_by(path: Path) -> tuple[str, set[str]]:
    """Return the command that filled a data folder, and its files; ``""`` and none otherwise."""
    try:
        return _origin(path / MARKER)
    except (OSError, ValueError, KeyError, TypeError):  # no marker, or somebody's own file
        return "", set()


def _origin(marker: Path) -> tuple[str, set[str]]:
    content = json.loads(marker.read_text("utf-8"))
    return str(content["origin"]), set(content["files"])


def table_csv(table: pa.Table | pa.RecordBatch, header: bool = True) -> bytes:
    """Return a table as CSV; text is quoted, null is an empty field."""
    buffer = BytesIO()
    csv.write_csv(table, buffer, csv.WriteOptions(include_header=header))
    return buffer.getvalue()
