"""Atomic writes: a killed process leaves the old file or the new one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from two_tower.core.errors import InputError


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file atomically: to a temporary name, synced, then renamed."""
    beside = path.with_name(path.name + ".tmp")
    write(beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""

    def write(beside: Path) -> None:
        text = json.dumps(value, ensure_ascii=False, indent=2)
        beside.write_text(text + "\n", encoding="utf-8")

    write_whole(path, write)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or None if there is no such file.

    Raises:
        InputError: the file is not JSON.
    """
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}", "remove it, or create it again") from error
