"""All known versions and their states: what ``two-tower releases`` lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from two_tower.artifacts.registry import Registry
from two_tower.artifacts.storage import CorruptFileError
from two_tower.core.metric_names import COMPARED
from two_tower.core.settings import Settings
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import Warehouse, open_warehouse


@dataclass(frozen=True)
class Version:
    """One version of the model.

    Attributes:
        version: its name.
        state: ``serving``, ``previous`` (a rollback serves it at once), ``released`` (at some
            time), ``refused`` (by the gate) or ``published`` (to the registry only).
        metrics: measured on all held-out users when it was published.
        released_at: when it was last released or rolled back to, UTC.
        failed_checks: the checks that its last attempt failed.
        is_in_registry: whether it can be put back.
        is_latest: whether it is the registry's latest.
        note: what is wrong with its description in the registry.
    """

    version: str
    state: str
    metrics: dict[str, float]
    released_at: datetime | None
    failed_checks: list[str]
    is_in_registry: bool
    is_latest: bool
    note: str = ""


def releases(settings: Settings) -> list[Version]:
    """Return every known version, the newest first.

    Raises:
        UnavailableError: the database or the registry did not answer.
    """
    with open_warehouse(settings) as warehouse:
        return read_releases(warehouse, Registry(settings))


def read_releases(warehouse: Warehouse, registry: Registry) -> list[Version]:
    """Return every version that the database or the registry knows, the newest first."""
    history = last_releases(warehouse)
    refused = _refused(warehouse)
    published, latest = set(registry.versions()), registry.latest_version()
    names = {str(row["version"]) for row in (*history, *refused)} | published
    found = []
    for name in sorted(names, reverse=True):
        metrics, note = _described(registry, name) if name in published else ({}, "")
        moments = [row["released_at"] for row in history if row["version"] == name]
        failed = [str(row["check_name"]) for row in refused if row["version"] == name]
        found.append(
            Version(
                version=name,
                state=_state(name, [str(row["version"]) for row in history], failed),
                metrics=metrics,
                released_at=moments[0] if moments else None,
                failed_checks=failed,
                is_in_registry=name in published,
                is_latest=name == latest,
                note=note,
            )
        )
    return found


def _state(name: str, history: list[str], failed: list[str]) -> str:
    for place, state in ((0, "serving"), (1, "previous")):
        if history[place : place + 1] == [name]:
            return state
    if name in history:
        return "released"
    return "refused" if failed else "published"


def _described(registry: Registry, version: str) -> tuple[dict[str, float], str]:
    try:
        metrics = registry.describe(version)["metrics"]
    except CorruptFileError as error:
        return {}, str(error)
    return {name: metrics[name] for name in COMPARED if metrics.get(name) is not None}, ""


def _refused(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the checks that the last attempt of each version failed."""
    if not warehouse.relation_exists("two_tower", "promotion_checks"):
        return []
    return warehouse.fetch(
        "select version, check_name from two_tower.promotion_checks as checks where not passed"
        " and attempt = (select max(attempt) from two_tower.promotion_checks as others"
        "  where others.version = checks.version) order by check_name",
    )
