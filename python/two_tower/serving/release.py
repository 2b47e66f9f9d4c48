"""Release: audit the landed vectors with dbt and, if every check passes, serve them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from two_tower.artifacts.registry import Registry
from two_tower.core.errors import GateError, NotEnoughDataError, TwoTowerError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.database import dbt, ddl
from two_tower.database.releases import last_releases, serving_version
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.serving import release_gate, retention
from two_tower.serving.landing import TABLES

logger = logging.getLogger("two_tower")

# Unit tests test the SQL, not the landed rows.
NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")


@dataclass(frozen=True)
class ReleaseResult:
    """The release that is serving. ``swapped`` is false if it was serving before."""

    release_id: int
    version: str
    users: int
    videos: int
    lists: int | None
    probes: int | None
    is_exact: bool
    index_recall: float
    seconds: float
    swapped: bool


def release(settings: Settings, is_rollback: bool = False) -> ReleaseResult:
    """Audit the landed vectors and, if every check passes, serve them.

    Args:
        settings: the project.
        is_rollback: serve a former version again whatever its metrics. Its vectors and files are
            audited all the same.

    Raises:
        NotEnoughDataError: nothing has been landed.
        GateError: a promotion check failed, a view or function would still read the old tables, or
            recommend_videos would have no answer. The former version keeps serving and becomes the
            registry's latest again.
        UnavailableError: the database or the registry did not answer.
    """
    started = time.perf_counter()
    with open_warehouse(settings) as warehouse:
        version = _landed_version(warehouse)
        is_due = not _is_served(warehouse, version)
        if is_due and _has_release_functions(warehouse):
            with explained():
                warehouse.execute("select two_tower.assert_nothing_follows_old_tables()")
        if is_due:
            release_gate.check_artifacts(settings, warehouse, version)
    if is_due:
        _build(settings, version, is_rollback)
    with open_warehouse(settings) as warehouse:
        row = last_releases(warehouse, 1)[0]
        if is_due:
            _prune(settings, warehouse)
    return ReleaseResult(
        release_id=row["release_id"],
        version=row["version"],
        users=row["user_count"],
        videos=row["video_count"],
        lists=row["lists"],
        probes=row["probes"],
        is_exact=row["is_exact"],
        index_recall=row["index_recall"],
        seconds=round(time.perf_counter() - started, 2),
        swapped=is_due,
    )


def _build(settings: Settings, version: str, is_rollback: bool) -> None:
    """Let dbt audit and swap; a refusal names each check that failed."""
    variables = dbt.variables(settings, **({"is_rollback": True} if is_rollback else {}))
    with open_warehouse(settings) as warehouse:
        before = _attempt(warehouse)
    try:
        dbt.run(settings, "build", "--selector", "release", *NO_UNIT_TESTS, *variables)
    except GateError as error:
        with open_warehouse(settings) as warehouse:
            checks, serving = release_gate.last_checks(warehouse), serving_version(warehouse)
        if serving:
            # The export has made the refused version the registry's latest.
            try:
                move_latest(settings, serving)
            except TwoTowerError as left:
                logger.warning("the registry's latest is still %s: %s", version, left)
        failed = [check for check in checks if not check.passed and check.attempt > before]
        refusal = (
            release_gate.refusal(version, failed) if failed else GateError(str(error), error.hint)
        )
        raise refusal from None


def _prune(settings: Settings, warehouse: Warehouse) -> None:
    """Remove old versions. If that fails, the release stands and the next one tries again."""
    try:
        removed = retention.prune(settings, warehouse)
    except TwoTowerError as error:
        logger.warning("old versions were not removed: %s", error)
    else:
        if removed:
            logger.info("removed the versions %s", ", ".join(removed))


def _attempt(warehouse: Warehouse) -> int:
    return max((check.attempt for check in release_gate.last_checks(warehouse)), default=0)


def _landed_version(warehouse: Warehouse) -> str:
    """Return the newest landed version. The check `versions_landed` tests that it is the only."""
    if warehouse.relation_exists("two_tower", "video_embeddings_landing"):
        rows = warehouse.fetch(
            "select max(version) as version from two_tower.video_embeddings_landing"
        )
        if rows[0]["version"] is not None:
            return str(rows[0]["version"])
    raise NotEnoughDataError("no vectors have been landed", "two-tower embed lands them")


def _is_served(warehouse: Warehouse, version: str) -> bool:
    """Return whether the served vectors are the landed ones, row by row."""
    if serving_version(warehouse) != version:
        return False
    unequal = "<>"
    if warehouse.dialect == "postgres":
        unequal = f"operator({ddl.pgvector_schema(warehouse)}.<>)"
    return not any(
        warehouse.fetch(
            f"select 1 as found from two_tower.{base}_landing as landed"
            f" full outer join public.{base} as served on landed.{key} = served.{key}"
            f" where landed.{key} is null or served.{key} is null"
            f" or landed.embedding {unequal} served.embedding"
            f" or landed.version <> '{version}' limit 1"
        )
        for base, key in TABLES.values()
    )


def _has_release_functions(warehouse: Warehouse) -> bool:
    return warehouse.dialect == "postgres" and bool(
        warehouse.fetch(
            "select 1 as found"
            " where to_regproc('two_tower.assert_nothing_follows_old_tables') is not null"
        )
    )


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error that a release function of the database raises into ours, with its hint."""
    try:
        yield
    except psycopg.errors.NoDataFound as error:
        message, hint = error.diag.message_primary, error.diag.message_hint
        raise NotEnoughDataError(message or str(error), hint or "") from error
    except psycopg.errors.DependentObjectsStillExist as error:
        message, hint = error.diag.message_primary, error.diag.message_hint
        raise GateError(message or str(error), hint or "") from error
    except psycopg.errors.LockNotAvailable as error:
        message, hint = error.diag.message_primary, error.diag.message_hint
        raise UnavailableError(message or str(error), hint or "") from error


def move_latest(settings: Settings, version: str) -> None:
    """Make the serving version the registry's latest.

    Raises:
        TwoTowerError: the registry could not be written; the version serves all the same.
    """
    try:
        Registry(settings).set_latest(version)
    except TwoTowerError as error:
        raise type(error)(
            f"{version} is serving again, but the registry's latest could not be moved to it:"
            f" {error}",
            error.hint,
        ) from error
