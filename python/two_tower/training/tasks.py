"""What a run leaves on disk until it ends: results that are not found twice, and a checkpoint."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import torch

from two_tower.artifacts.runs import package_checksum
from two_tower.core.background import background, raise_if_cancelled
from two_tower.core.errors import InputError
from two_tower.core.files import read_json, write_json, write_whole

T = TypeVar("T")

# Seconds between two checkpoints: an epoch may be shorter than writing one.
SAVE_EVERY = 2.0


class Tasks:
    """The tasks of a run, by their keys: ``search/ease`` is in ``tasks/search/ease.pickle``.

    Args:
        run: the run's folder.

    Raises:
        InputError: another version of this program began the run.
    """

    def __init__(self, run: Path) -> None:
        self.run_dir = run
        self.folder = run / "tasks"
        package = self.folder / "package.json"
        if not package.exists():
            self.folder.mkdir(exist_ok=True)
            write_json(package, package_checksum())
        elif read_json(package) != package_checksum():
            raise InputError(
                f"another version of this program began {run}",
                "train a model anew, without --resume",
            )

    def run(self, key: str, function: Callable[[], T]) -> T:
        """Return the result of a function: from disk, or as it is written there now."""
        path = self._path(key)
        if path.exists():
            # Of this very run, and this very package: nobody else's.
            found: T = pickle.loads(path.read_bytes())
            return found
        raise_if_cancelled()
        found = function()
        path.parent.mkdir(exist_ok=True)

        def write(beside: Path) -> None:
            with beside.open("wb") as file:
                pickle.dump(found, file, protocol=5)

        write_whole(path, write)
        return found

    def begin(self, key: str, function: Callable[[], T]) -> Future[T]:
        """Begin the same in the background."""
        return background(lambda: self.run(key, function))

    def is_done(self, key: str) -> bool:
        """Return whether the result is there."""
        return self._path(key).exists()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.pickle"


class Checkpoint:
    """The checkpoint of one fit.

    Args:
        run: the run's folder.
        key: of the fit; the checkpoint of another one counts as none.
    """

    def __init__(self, run: Path, key: str) -> None:
        self.path, self.key = run / "checkpoint.pt", key
        self.saved_at = -math.inf

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, or None before the first."""
        if not self.path.exists():
            return None
        found: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return found if found["key"] == self.key else None

    def save(self, state: dict[str, Any]) -> None:
        """Save a state, unless that was done ``SAVE_EVERY`` seconds ago or less."""
        if time.monotonic() >= self.saved_at + SAVE_EVERY:
            self._write({"key": self.key, **state})
            self.saved_at = time.monotonic()

    def _write(self, content: dict[str, Any]) -> None:
        write_whole(self.path, lambda beside: torch.save(content, beside))
