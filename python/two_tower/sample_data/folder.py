"""The folder that the sample is written to: its own files only, each written in one step."""

import json
from collections.abc import Iterable
from pathlib import Path

from two_tower.errors import InputError

MARKER = "sample.json"


class SampleFolder:
    """A data folder (``reviews/``, ``catalogue/``) that holds a sample, or nothing yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._marker = path / MARKER
        self._known = self._read_marker()

    def claim(self, files: Iterable[str]) -> None:
        """Write down the files that will be written, and remove what an earlier sample left.

        Raises:
            InputError: the reviews or the catalogue folder holds a file that is no sample's.
        """
        found = {
            file.relative_to(self.path).as_posix()
            for part in ("reviews", "catalogue")
            for file in (self.path / part).glob("*")
        }
        foreign = sorted(name for name in found - self._known if not name.endswith(".part"))
        if foreign:
            raise InputError(
                f"{self.path / foreign[0]} was not written by sample-data"
                + (f" ({len(foreign)} such files)" if len(foreign) > 1 else ""),
                "write the sample elsewhere (TWO_TOWER_DATA_DIR), or move your own files away",
            )
        for part in ("reviews", "catalogue"):
            (self.path / part).mkdir(parents=True, exist_ok=True)
        wanted = set(files)
        # Before the first file: a run that is cut short leaves no file that the next one refuses.
        self._known |= wanted
        self.mark({})
        for name in found - wanted:
            (self.path / name).unlink()
        self._known = wanted

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write one file, whole or not at all."""
        target = self.path / name
        partial = target.with_name(target.name + ".part")
        with partial.open("wb") as stream:
            for part in parts:
                stream.write(part)
        partial.replace(target)

    def mark(self, figures: dict[str, object]) -> None:
        """Write the marker: the files of the sample and the figures of its making."""
        content = {"files": sorted(self._known), **figures}
        self.write(MARKER, [json.dumps(content, indent=2, ensure_ascii=False).encode()])

    def _read_marker(self) -> set[str]:
        if not self._marker.exists():
            return set()
        try:
            return set(json.loads(self._marker.read_text("utf-8"))["files"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self._marker} is not a sample's marker: {error}",
                "move it away if this folder is yours, or remove the folder's sample",
            ) from error
