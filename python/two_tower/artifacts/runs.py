"""The folders of training runs: ``runs/VERSION``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings

VERSION_FORMAT = "%Y%m%d_%H%M%S"
VERSION = re.compile(r"\d{8}_\d{6}")


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
    """Return a checksum of this package's code, which may train another model on the same data."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def new_version(runs_dir: Path, now: datetime | None = None) -> str:
    """Return the version of a run that begins now: a UTC second, later than all versions.

    Args:
        runs_dir: the folder of all runs.
        now: a timezone-aware time; by default the clock's.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    taken = [path.name for path in runs_dir.glob("*") if VERSION.fullmatch(path.name)]
    if taken:
        newest = datetime.strptime(max(taken), VERSION_FORMAT).replace(tzinfo=UTC)
        moment = max(moment, newest + timedelta(seconds=1))
    return moment.strftime(VERSION_FORMAT)


def make_run(runs_dir: Path, version: str | None) -> Path:
    """Create the folder of a new run.

    Raises:
        InputError: the version is not written as one, or is taken.
    """
    if version is not None and not VERSION.fullmatch(version):
        raise InputError(f"{version!r} is no version", "write YYYYMMDD_HHMMSS, or leave it out")
    folder = runs_dir / (version or new_version(runs_dir))
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise InputError(f"{folder} is there already", "leave the version out") from error
    return folder


def interrupted_run(runs_dir: Path, version: str | None) -> Path:
    """Return the newest run that began training and did not finish, which can be resumed.

    Raises:
        InputError: there is none.
    """
    begun = sorted(path.parent for path in runs_dir.glob("*/config.json"))
    open_runs = [run for run in begun if not (run / "towers.pt").exists()]
    found = [run for run in open_runs if version in (None, run.name)]
    if not found:
        raise InputError(
            f"no interrupted training run {version or ''}".rstrip() + f" in {runs_dir}",
            "begin a new one: two-tower train",
        )
    return found[-1]


def begun_run(runs_dir: Path, inputs: str) -> Path | None:
    """Return the newest unfinished run on inputs of this checksum, if there is one."""
    for path in sorted(runs_dir.glob("*/inputs.json"), reverse=True):
        is_open = not path.with_name("towers.pt").exists() and path.with_name("dataset").exists()
        if is_open and json.loads(path.read_text(encoding="utf-8"))["sha256"] == inputs:
            return path.parent
    return None


def sha256_of(run: Path, names: Iterable[str]) -> str:
    """Return one checksum over some files of a run."""
    digest = hashlib.sha256()
    for name in names:
        with (run / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def finished_run(runs_dir: Path, inputs: str) -> dict[str, Any] | None:
    """Return the result of the newest finished run on inputs of this checksum, if there is one."""
    for path in sorted(runs_dir.glob("*/inputs.json"), reverse=True):
        found = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        result = path.with_name("result.json")
        if found == inputs and result.exists() and path.with_name("towers.pt").exists():
            values: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            return values
    return None
