"""Release the landed vectors behind dbt's tests, and go back to the release before."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from two_tower import dbt, gate, locks, retention, tables
from two_tower.errors import GateError, NotEnoughDataError, TwoTowerError, UnavailableError
from two_tower.registry import Registry
from two_tower.settings import Settings
from two_tower.warehouse import Warehouse, open_warehouse

logger = logging.getLogger("two_tower")

# They test the SQL, not the rows at hand.
NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
PAIRS = (("user_embeddings", "user_id"), ("video_embeddings", "video_id"))


@dataclass(frozen=True)
class ReleaseResult:
    """The release that is serving. ``swapped`` is false where it was serving already."""

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


@dataclass(frozen=True)
class RollbackResult:
    """The version that was withdrawn and the one that is serving again."""

    version_from: str
    version_to: str
    seconds: float


def release(settings: Settings, is_rollback: bool = False) -> ReleaseResult:
    """Audit the landed vectors and, if every check passes, serve them.

    Args:
        settings: the project.
        is_rollback: serve a former version again, whatever its figures; its vectors and files are
            audited all the same.

    Raises:
        NotEnoughDataError: nothing has been landed.
        GateError: a promotion check failed, a view or function would go on reading the old tables,
            or recommend_videos would have no answer. What was serving is serving still, and is the
            registry's latest again.
        UnavailableError: the database or the registry did not answer.
    """
    started = time.perf_counter()
    with open_warehouse(settings) as warehouse:
        version = _landed_version(warehouse)
        is_due = not _is_served(warehouse, version)
        if is_due and _has_release_functions(warehouse):
            with _explained():
                warehouse.execute("select two_tower.assert_nothing_follows_old_tables()")
        if is_due:
            gate.check_artifacts(settings, warehouse, version)
    if is_due:
        _build(settings, version, is_rollback)
    with open_warehouse(settings) as warehouse:
        row = _releases(warehouse)[0]
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
    """Let dbt audit and swap; what the gate refuses is said check by check."""
    variables = ("--vars", '{"is_rollback": true}') if is_rollback else ()
    with open_warehouse(settings) as warehouse:
        before = _attempt(warehouse)
    try:
        dbt.run(settings, "build", "--selector", "release", *NO_UNIT_TESTS, *variables)
    except GateError as error:
        with open_warehouse(settings) as warehouse:
            checks, serving = gate.last_checks(warehouse), _releases(warehouse)
        if serving:
            # The version that was refused is the latest of the registry since its export.
            try:
                _move_latest(settings, serving[0]["version"])
            except TwoTowerError as left:
                logger.warning("the registry's latest is still %s: %s", version, left)
        failed = [check for check in checks if not check.passed and check.attempt > before]
        refusal = gate.refusal(version, failed) if failed else GateError(str(error), error.hint)
        raise refusal from None


def _prune(settings: Settings, warehouse: Warehouse) -> None:
    """Remove what is old. Where that fails the release stands, and the next one does it."""
    try:
        removed = retention.prune(settings, warehouse)
    except TwoTowerError as error:
        logger.warning("old versions were not removed: %s", error)
    else:
        if removed:
            logger.info("removed the versions %s", ", ".join(removed))


def _attempt(warehouse: Warehouse) -> int:
    return max((check.attempt for check in gate.last_checks(warehouse)), default=0)


def rollback(settings: Settings, version: str | None = None) -> RollbackResult:
    """Serve a former release again and make its model the registry's latest.

    The one before is kept in the database: it is exchanged in one transaction. An older one is
    embedded anew, with its model from the registry on today's features, and audited; its figures
    are not held against it.

    Args:
        settings: the project.
        version: by default that of the release before. What is serving already goes on serving.

    Raises:
        NotEnoughDataError: there is no release before, or it was put back already.
        InputError: the version is not in the registry.
        BusyError: a run is at work, and the version has to be embedded anew.
        GateError: a view or function would go on reading the withdrawn tables; or the version
            reads other features than there are today, or its vectors or files do not pass.
    """
    started = time.perf_counter()
    with open_warehouse(settings) as warehouse:
        releases = _releases(warehouse)
    names = [row["version"] for row in releases]
    if version is None or (names[1:] == [version] and not releases[0]["is_rollback"]):
        return _exchange_pairs(settings, started)
    if names[:1] != [version]:
        from two_tower.embed import embed

        with locks.held(settings, locks.RUN, locks.SERVING):  # the landing tables are a run's
            embed(settings, version)
            release(settings, is_rollback=True)
    _move_latest(settings, version)
    serving = names[0] if names else version
    return RollbackResult(serving, version, round(time.perf_counter() - started, 2))


def _exchange_pairs(settings: Settings, started: float) -> RollbackResult:
    """Exchange the served tables with those of the release before."""
    with open_warehouse(settings) as warehouse:
        if len(_releases(warehouse)) < 2:
            raise NotEnoughDataError(
                "there is no release to go back to",
                "the previous vectors are kept from the second release on",
            )
        if warehouse.dialect == "postgres":
            with _explained():
                row = warehouse.fetch("select * from two_tower.rollback_release()")[0]
        else:
            row = _exchange(warehouse)
    _move_latest(settings, row["version_to"])
    seconds = round(time.perf_counter() - started, 2)
    return RollbackResult(row["version_from"], row["version_to"], seconds)


def _landed_version(warehouse: Warehouse) -> str:
    """Return the newest landed version; that it is the only one is for the tests to say."""
    if warehouse.relation_exists("two_tower", "video_embeddings_landing"):
        rows = warehouse.fetch(
            "select max(version) as version from two_tower.video_embeddings_landing"
        )
        if rows[0]["version"] is not None:
            return str(rows[0]["version"])
    raise NotEnoughDataError("no vectors have been landed", "two-tower embed lands them")


def _is_served(warehouse: Warehouse, version: str) -> bool:
    """Return whether the very vectors that are landed are serving."""
    releases = _releases(warehouse)
    if not releases or releases[0]["version"] != version:
        return False
    unequal = "<>"
    if warehouse.dialect == "postgres":
        unequal = f"operator({tables.pgvector_schema(warehouse)}.<>)"
    return not any(
        warehouse.fetch(
            f"select 1 as found from two_tower.{base}_landing as landed"
            f" full outer join public.{base} as served on landed.{key} = served.{key}"
            f" where landed.{key} is null or served.{key} is null"
            f" or landed.embedding {unequal} served.embedding"
            f" or landed.version <> '{version}' limit 1"
        )
        for base, key in PAIRS
    )


def _releases(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the last two rows of the history, the serving one first."""
    if not warehouse.relation_exists("two_tower", "model_releases"):
        return []
    return warehouse.fetch(
        "select release_id, version, is_rollback, user_count, video_count, lists, probes, is_exact,"
        " index_recall from two_tower.model_releases order by release_id desc limit 2"
    )


def _has_release_functions(warehouse: Warehouse) -> bool:
    return warehouse.dialect == "postgres" and bool(
        warehouse.fetch(
            "select 1 as found"
            " where to_regproc('two_tower.assert_nothing_follows_old_tables') is not null"
        )
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the database's release functions refuse into an error with its hint."""
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


def _exchange(warehouse: Warehouse) -> dict[str, Any]:
    """On DuckDB: what two_tower.rollback_release() does on Postgres."""
    serving, former = _releases(warehouse)
    if serving["is_rollback"]:
        raise NotEnoughDataError(
            f"version {serving['version']} was already put back in place of {former['version']}",
            "two-tower rollback VERSION serves any version again; two-tower releases lists them",
        )
    with warehouse.transaction():
        for base, _ in PAIRS:
            for old, new in (("", "_withdrawn"), ("_previous", ""), ("_withdrawn", "_previous")):
                warehouse.execute(f"alter table public.{base}{old} rename to {base}{new}")
        warehouse.execute(
            "insert into two_tower.model_releases by name"
            " select * replace (release_id + 2 as release_id, true as is_rollback,"
            "  cast(? as timestamp) as released_at)"
            " from two_tower.model_releases where release_id = ?",
            (datetime.now(UTC).replace(tzinfo=None), former["release_id"]),
        )
    return {"version_from": serving["version"], "version_to": former["version"]}


def _move_latest(settings: Settings, version: str) -> None:
    try:
        Registry(settings).set_latest(version)
    except TwoTowerError as error:
        raise type(error)(
            f"{version} is serving again, but the registry's latest could not be moved to it:"
            f" {error}",
            error.hint,
        ) from error
