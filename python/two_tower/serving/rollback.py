"""Rollback: serve the release before again, or any version of the registry."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from two_tower.core.errors import NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database import locks
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.serving.embed import embed
from two_tower.serving.landing import TABLES
from two_tower.serving.release import explained, move_latest, release


@dataclass(frozen=True)
class RollbackResult:
    """The version that was withdrawn and the one that is serving again."""

    version_from: str
    version_to: str
    seconds: float


def rollback(settings: Settings, version: str | None = None) -> RollbackResult:
    """Serve a former release again and make its model the registry's latest.

    The tables of the release before are still in the database: they are exchanged in one
    transaction. An older version is fetched from the registry, embeds today's features, and is
    audited except for its metrics.

    Args:
        settings: the project.
        version: by default that of the release before. If it is serving, it keeps serving.

    Raises:
        NotEnoughDataError: there is no release before, or it was put back already.
        InputError: the version is not in the registry.
        BusyError: the version has to be embedded, and a run is at work.
        GateError: a view or function would still read the withdrawn tables; or the version reads
            other features than there are today; or its vectors or files do not pass.
    """
    started = time.perf_counter()
    with open_warehouse(settings) as warehouse:
        releases = last_releases(warehouse, 2)
    names = [row["version"] for row in releases]
    if version is None or (names[1:] == [version] and not releases[0]["is_rollback"]):
        return _exchange_pairs(settings, started)
    if names[:1] != [version]:
        with locks.held(settings, locks.RUN, locks.SERVING):  # the landing tables are a run's
            embed(settings, version)
            release(settings, is_rollback=True)
    move_latest(settings, version)
    serving = names[0] if names else version
    return RollbackResult(serving, version, round(time.perf_counter() - started, 2))


def _exchange_pairs(settings: Settings, started: float) -> RollbackResult:
    """Exchange the served tables with those of the release before."""
    with open_warehouse(settings) as warehouse:
        if len(last_releases(warehouse, 2)) < 2:
            raise NotEnoughDataError(
                "there is no release to go back to",
                "the previous vectors are kept from the second release on",
            )
        if warehouse.dialect == "postgres":
            with explained():
                row = warehouse.fetch("select * from two_tower.rollback_release()")[0]
        else:
            row = _exchange(warehouse)
    move_latest(settings, row["version_to"])
    seconds = round(time.perf_counter() - started, 2)
    return RollbackResult(row["version_from"], row["version_to"], seconds)


def _exchange(warehouse: Warehouse) -> dict[str, Any]:
    """Do on DuckDB what two_tower.rollback_release() does on Postgres."""
    serving, former = last_releases(warehouse, 2)
    if serving["is_rollback"]:
        raise NotEnoughDataError(
            f"version {serving['version']} was already put back in place of {former['version']}",
            "two-tower rollback VERSION serves any version again; two-tower releases lists them",
        )
    with warehouse.transaction():
        for base, _ in TABLES.values():
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
