"""What is loaded, trained and serving, read from the database and the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from two_tower.artifacts.registry import Registry
from two_tower.core.errors import NotEnoughDataError, NotOwnerError
from two_tower.core.settings import Settings
from two_tower.database import database_errors, sessions
from two_tower.database import warehouse as databases
from two_tower.database.dsn import target_dsn
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import Warehouse
from two_tower.operations.run_history import last_runs
from two_tower.serving.release_gate import last_checks
from two_tower.serving.versions import read_releases


@dataclass(frozen=True)
class Status:
    """The state of a project; ``None`` for what does not exist yet.

    Attributes:
        index: whether the videos' index is whole, and how many videos were added after it.
        metrics: of the serving version, over all held-out users.
        last_attempt: the outcome of the last attempt at a release.
        drift: the measures beyond their threshold since the serving release.
        last_runs: the newest five, and how they ended.
        versions: the newest five, with their states.
    """

    target: str
    database: str
    review_files: int | None
    reviews: int | None
    rejected_reviews: int | None
    videos: int | None
    users: int | None
    registry: str
    latest_version: str | None
    serving_version: str | None
    served_for_hours: float | None
    previous_version: str | None
    search: str | None
    index: str | None
    metrics: dict[str, Any]
    last_attempt: str | None
    drift: list[str] | None
    last_runs: list[str]
    versions: list[str]


def status(settings: Settings) -> Status:
    """Read the status. A database or registry that is empty is a state, not an error.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    registry = Registry(settings)
    try:
        latest = registry.latest()["version"]
    except NotEnoughDataError:
        latest = None
    with opened_if_made(settings) as warehouse:
        releases = last_releases(warehouse, 2) if warehouse else []
        serving = releases[0] if releases else None
        return Status(
            target=settings.target,
            database=_name(settings),
            review_files=_count(warehouse, "raw", "review_files"),
            reviews=_count(warehouse, "raw", "reviews"),
            rejected_reviews=_count(warehouse, "raw", "rejected_reviews"),
            videos=_count(warehouse, "two_tower", "videos"),
            users=_count(warehouse, "two_tower", "users"),
            registry=settings.registry_url,
            latest_version=latest,
            serving_version=serving["version"] if serving else None,
            served_for_hours=_hours_since(serving["released_at"]) if serving else None,
            previous_version=releases[1]["version"] if len(releases) > 1 else None,
            search=_search(serving) if serving else None,
            index=_index(warehouse, serving) if warehouse and serving else None,
            metrics=_metrics(warehouse, serving["version"]) if serving else {},
            last_attempt=_last_attempt(warehouse) if warehouse else None,
            drift=_drift(warehouse),
            last_runs=last_runs(settings, warehouse, 5) if warehouse else [],
            versions=_versions(settings, warehouse),
        )


@contextmanager
def opened_if_made(settings: Settings) -> Iterator[Warehouse | None]:
    """Open the database; None if it does not exist yet, so that reading does not create it.

    Raises:
        NotOwnerError: inside the block the role was refused a table.
        UnavailableError: the database cannot be reached.
    """
    made = {
        "duckdb": settings.path(settings.duckdb_path),
        "embedded": settings.path(settings.postgres_dir) / "PG_VERSION",
    }
    if settings.target in made and not made[settings.target].exists():
        yield None
    else:
        try:
            with databases.open_warehouse(settings) as warehouse:
                yield warehouse
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotOwnerError(database_errors.first_line(error)) from error


def _name(settings: Settings) -> str:
    if settings.target == "duckdb":
        return str(settings.path(settings.duckdb_path))
    if settings.target == "embedded":
        return str(settings.path(settings.postgres_dir))
    return sessions.redact(target_dsn(settings))


def _rows(warehouse: Warehouse | None, table: str, sql: str) -> list[dict[str, Any]]:
    if warehouse is None or not warehouse.relation_exists("two_tower", table):
        return []
    return warehouse.fetch(sql)


def _count(warehouse: Warehouse | None, schema: str, table: str) -> int | None:
    if warehouse is None or not warehouse.relation_exists(schema, table):
        return None
    return int(warehouse.fetch(f"select count(*) as n from {schema}.{table}")[0]["n"])


def _hours_since(moment: datetime) -> float:
    return round((datetime.now(UTC).replace(tzinfo=None) - moment).total_seconds() / 3600, 1)


def _search(release: dict[str, Any]) -> str:
    if release["is_exact"]:
        return "exact"
    return (
        f"IVFFLAT, {release['probes']} of {release['lists']} lists,"
        f" recall@20 {release['index_recall']:.3f}"
    )


def _index(warehouse: Warehouse, release: dict[str, Any]) -> str:
    """Describe the videos' index: recall is lower for rows added after it was built."""
    served = _count(warehouse, "public", "video_embeddings") or 0
    added = max(0, served - release["video_count"])
    came = f"{added:,} of {served:,} videos came since the release"
    return f"{index_state(warehouse, release['lists'])}, {came}"


def index_state(warehouse: Warehouse, lists: int | None) -> str:
    """Return ``whole``, ``missing`` or ``half built``; ``none`` where a release has no lists."""
    if lists is None or warehouse.dialect != "postgres":
        return "none"
    rows = warehouse.fetch(
        "select indisvalid from pg_index"
        " where indexrelid = to_regclass('public.idx_video_embeddings_cosine')"
    )
    return "missing" if not rows else "whole" if rows[0]["indisvalid"] else "half built"


def _last_attempt(warehouse: Warehouse) -> str | None:
    checks = last_checks(warehouse)
    if not checks:
        return None
    failed = [check.name for check in checks if not check.passed]
    verdict = f"refused: {', '.join(failed)}" if failed else f"passed {len(checks)} checks"
    return f"{checks[0].version} {verdict}"


def _drift(warehouse: Warehouse | None) -> list[str] | None:
    """Return the rows of ``drift`` beyond their threshold, the furthest first."""
    if warehouse is None or not warehouse.relation_exists("two_tower", "drift"):
        return None
    rows = warehouse.fetch(
        "select tower, feature, measure, value, threshold from two_tower.drift"
        " where is_exceeded order by value / threshold desc, tower, feature"
    )
    return [
        f"{row['tower']} {row['feature']}: {row['measure']} {row['value']:.3g}"
        f" (up to {row['threshold']:.3g})"
        for row in rows
    ]


def _versions(settings: Settings, warehouse: Warehouse | None) -> list[str]:
    if warehouse is None:
        return []
    return [
        " ".join([row.version, row.state, *(f"{k} {v:.4f}" for k, v in row.metrics.items())])
        for row in read_releases(warehouse, Registry(settings))[:5]
    ]


def _metrics(warehouse: Warehouse | None, version: str) -> dict[str, Any]:
    rows = _rows(
        warehouse,
        "evaluation_metrics",
        "select metric, value from two_tower.evaluation_metrics"
        f" where run_id = '{version}' and model = 'two_tower' and slice = 'overall'",
    )
    return {row["metric"]: row["value"] for row in rows}
