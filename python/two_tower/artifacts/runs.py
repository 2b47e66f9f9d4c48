"""The folders of training runs: ``runs/VERSION``."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings


def find_run(settings: Settings, version: str | None = None) -> Path:
    """Return the folder of a finished run, by default of the newest.

    Raises:
        InputError: there is no finished run of that version.
        NotEnoughDataError: there is no finished run at all.
    """
    runs = settings.path(settings.runs_dir)
    finished = sorted(path.parent for path in runs.glob("*/towers.pt"))
    if not finished:
        raise NotEnoughDataError(f"no trained model in {runs}", "two-tower train makes one")
    if version is None:
        return finished[-1]
    if runs / version not in finished:
        raise InputError(
            f"no trained model of version {version} in {runs}",
            f"versions there: {', '.join(path.name for path in finished[-5:])}",
        )
    return runs / version


@cache
def package_checksum() -> str:
    """Return a checksum of this package: another version makes another model of the same data."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or None where there is no such file.

    Raises:
        InputError: it is not JSON.
    """
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}", "remove it, or make it anew") from error
