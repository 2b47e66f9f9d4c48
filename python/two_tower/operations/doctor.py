"""Checks of everything a run needs: ``two-tower doctor``.

A check says what was found and, if something is wrong, what to type. A run repeats the checks it
depends on before it locks, writes or trains anything.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from two_tower.artifacts.registry import Registry
from two_tower.core import checks
from two_tower.core.checks import Check
from two_tower.core.errors import FullError, InputError, TwoTowerError, UnavailableError
from two_tower.core.settings import Settings, read_file_settings
from two_tower.database import embedded, sessions
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import database_checks

logger = logging.getLogger("two_tower")

# Written to a bucket and removed, as a test; no file of a model has this name.
PROBE = "two_tower_write_check"
# A run leaves some 10 MB on a small catalogue (docs/what-grows.md), hundreds on a large one.
FULL_BYTES, LOW_BYTES = 20 << 20, 1 << 30
# A rollback is for emergencies: it is refused only for what it uses itself.
OF_ROLLBACK = ("database", "session", "writable", "embedded")


def examine(settings: Settings) -> list[Check]:
    """Run all checks, also those that no run depends on."""
    return [
        _profile(settings),
        *_exported_url(settings),
        *_database(settings, is_look=True),
        _data(settings),
        _registry(settings),
        _runs(settings),
        _disk(settings),
        _prefect(settings),
    ]


def preflight(settings: Settings, steps: Collection[str]) -> None:
    """Run the checks that some steps depend on, and log warnings. Quick; leaves nothing behind.

    Args:
        settings: the project.
        steps: names of :mod:`pipeline`, or of commands.

    Raises:
        InputError: something has to be fixed first; the message lists everything, with the fixes.
        UnavailableError: the database or the registry did not answer.
        FullError: a disk is full.
    """
    found = [_profile(settings), *_exported_url(settings)]
    if settings.target != "duckdb":  # the steps open its file themselves, one process at a time
        found += _database(settings, is_look=False)
    if "export" in steps or "release" in steps:
        found.append(_registry(settings))
    if "train" in steps:
        found.append(_runs(settings))
    found.append(_disk(settings))
    if list(steps) == ["rollback"]:
        found = [check for check in found if check.name in OF_ROLLBACK]
    for check in found:
        if check.state == "warning":
            logger.warning("%s: %s (%s)", check.name, check.found, check.fix)
    error = checks.refusal(found)
    if error is not None:
        raise error


def _exported_url(settings: Settings) -> Iterator[Check]:
    """Warn if the shell's DATABASE_URL overrides the one in ``.env``."""
    if settings.target != "postgres":
        return
    url = read_file_settings(settings.project_dir).database_url
    if url is not None and url != settings.database_url:
        yield checks.warning(
            "database url",
            "DATABASE_URL is that of this shell, not the one in .env",
            "unset DATABASE_URL, if .env is meant",
        )


def _profile(settings: Settings) -> Check:
    path = settings.project_dir / "profiles.yml"
    if not path.exists():
        return checks.failed("profile", f"{path} does not exist", "two-tower init")
    if sessions.STATEMENT not in " ".join(path.read_text(encoding="utf-8").split()):
        return checks.warning(
            "profile",
            f"{path} is older than profiles.yml.example: in dbt, what the role or the database"
            " sets (time zone, timeouts, …) holds",
            f"rm {path} && two-tower init, if it has nothing of your own",
        )
    return checks.ok("profile", str(path))


def _database(settings: Settings, is_look: bool) -> list[Check]:
    """Return the checks of the target's database.

    Args:
        settings: the project.
        is_look: whether an embedded database that does not exist yet is left so.
    """
    if settings.target == "duckdb":
        return [_duckdb(settings)]
    if settings.target == "postgres":
        return database_checks.checks_of(settings)
    try:
        folder = embedded.data_dir(settings)
        if is_look and not (folder / "PG_VERSION").exists():
            return [checks.ok("embedded", f"not made yet: the first command makes it in {folder}")]
        embedded.start(settings)
    except TwoTowerError as error:
        return [checks.of_error("embedded", error)]
    found = checks.ok("embedded", f"it runs in {folder}, on a socket: it takes no port")
    return [found, *database_checks.checks_of(settings)]


def _duckdb(settings: Settings) -> Check:
    path = settings.path(settings.duckdb_path)
    if not path.exists():
        return checks.ok("database", f"not made yet: the first command makes {path}")
    try:
        with open_warehouse(settings):
            return checks.ok("database", f"DuckDB in {path}")
    except TwoTowerError as error:
        return checks.of_error("database", error)


def _data(settings: Settings) -> Check:
    pattern = Path(settings.reviews_glob)
    count = sum(1 for path in pattern.parent.glob(pattern.name) if path.is_file())
    if count == 0:
        fix = "put review files there, or try two-tower sample-data"
        return checks.warning("data", f"no file matches {settings.reviews_glob}", fix)
    return checks.ok("data", f"{count} review files in {pattern.parent}")


def _registry(settings: Settings) -> Check:
    """Check that the registry can be written, by writing to it: nothing else is certain."""
    try:
        storage = Registry(settings).storage
        if storage.is_local:
            return _folder("registry", Path(storage.root), "TWO_TOWER_REGISTRY_URL")
        storage.write(PROBE, b"")
    except TwoTowerError as error:
        return checks.of_error("registry", error)
    try:
        storage.remove(PROBE)
    except TwoTowerError as error:
        found = f"{storage.url} lets nothing be removed: old versions would stay ({error})"
        return checks.warning("registry", found, "let the key delete objects too")
    return checks.ok("registry", f"{storage.url} takes files")


def _runs(settings: Settings) -> Check:
    return _folder("runs", settings.path(settings.runs_dir), "TWO_TOWER_RUNS_DIR")


def _folder(name: str, path: Path, setting: str) -> Check:
    """Check that files, or the folder itself, can be created; with a file that has no name."""
    place = _existing(path)
    try:
        with tempfile.TemporaryFile(dir=place):
            return checks.ok(name, f"{path} takes files")
    except OSError as error:
        return checks.failed(
            name,
            f"nothing can be written to {path}: {error.strerror} ({place})",
            f"fix {setting}, or let this user write there: chown {_user()} {place}",
        )


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _existing(path: Path) -> Path:
    """Return the path, or its nearest parent that exists."""
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))  # noqa: PTH110


def _disk(settings: Settings) -> Check:
    """Check the free space of the folders that a run writes to: the least of them."""
    free = {path: shutil.disk_usage(_existing(path)).free for path in _written(settings)}
    path, least = min(free.items(), key=lambda item: item[1])
    found = f"{least / (1 << 30):,.1f} GB free for {path}"
    if least < FULL_BYTES:
        what = "the registry at " if path == _local_registry(settings) else ""
        found = f"no space left for {what}{path}: {least / (1 << 20):,.1f} MB are free"
        fix = "make room; two-tower releases shows old versions, TWO_TOWER_KEEP_VERSIONS keeps less"
        return Check("disk", "failed", found, fix, FullError)
    if least < LOW_BYTES:
        return checks.warning("disk", found, "make room: a run writes some hundred MB")
    return checks.ok("disk", found)


def _written(settings: Settings) -> Iterator[Path]:
    yield settings.path(settings.runs_dir)
    registry = _local_registry(settings)
    if registry is not None:
        yield registry
    if settings.target == "embedded":
        yield settings.path(settings.postgres_dir)
    if settings.target == "duckdb":
        yield settings.path(settings.duckdb_path)


def _local_registry(settings: Settings) -> Path | None:
    try:
        storage = Registry(settings).storage
    except InputError:  # reported by the check of the registry
        return None
    return Path(storage.root) if storage.is_local else None


def _prefect(settings: Settings) -> Check:
    """Check what answers at Prefect's URL, or at the port that `make prefect` would use."""
    from two_tower.core import loopback, prefect_server

    try:
        api = prefect_server.find(settings)
        if prefect_server.answers(api):
            return checks.ok("prefect", f"it answers at {api}")
    except InputError as error:
        return Check("prefect", "failed", str(error), error.hint)
    named = prefect_server.named_by()
    if loopback.is_loopback(api) and named == "pyproject.toml":
        return checks.ok("prefect", f"none runs here; its port is free for make prefect ({api})")
    found = f"no Prefect server answers at {api} ({named})"
    fix = "make prefect starts one; PREFECT_API_URL names another"
    return Check("prefect", "failed", found, fix, UnavailableError)
