"""Release the landed vectors behind dbt's tests, and go back to the release before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from two_tower import dbt, tables
from two_tower.errors import GateError, NotEnoughDataError, TwoTowerError, UnavailableError
from two_tower.registry import Registry
from two_tower.settings import Settings
from two_tower.warehouse import Warehouse, open_warehouse

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


def release(settings: Settings) -> ReleaseResult:
    """Audit the landed vectors and, if every test passes, serve them.

    Raises:
        NotEnoughDataError: nothing has been landed.
        GateError: a test refused the vectors, or a view or function would go on reading the old
            tables. What was serving is serving still.
    """
    started = time.perf_counter()
    with open_warehouse(settings) as warehouse:
        is_due = not _is_served(warehouse, _landed_version(warehouse))
        if is_due and _has_release_functions(warehouse):
            with _explained():
                warehouse.execute("select two_tower.assert_nothing_follows_old_tables()")
    if is_due:
        dbt.run(settings, "build", "--selector", "release")
    with open_warehouse(settings) as warehouse:
        row = _releases(warehouse)[0]
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


def rollback(settings: Settings) -> RollbackResult:
    """Serve the release before again, in one transaction, and make its model the latest.

    Raises:
        NotEnoughDataError: there is no release before, or it was put back already.
        GateError: a view or function would go on reading the withdrawn tables.
    """
    started = time.perf_counter()
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
            "to go forward, embed a version and release it",
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
