"""Finished steps by a checksum of their inputs: a run skips those that it would only repeat.

``two_tower.finished_steps`` has a row per step: a checksum of what the step depends on, and its
summary. A step is skipped if the checksum has not changed and its outputs are there. A dbt command
typed by hand deletes the rows (macro ``forget_finished_steps``), since it may have changed outputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from two_tower.artifacts.registry import Registry
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.releases import serving_version
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.operations import setup as project
from two_tower.operations.former_build import sql_checksum

TABLE = """
create table if not exists two_tower.finished_steps (
    step text primary key, inputs text not null, summary text not null,
    finished_at timestamp not null
)"""
# The steps that are cached here. Training compares the rows itself; load and release compare with
# the tables.
LOOKED_UP = ("build", "evaluate", "export", "embed")


def inputs_of(settings: Settings, step: str, version: str | None) -> str | None:
    """Return the checksum of a step's inputs; None for a step that is not cached."""
    # The app's own catalogue tables change, and there is no file to compare.
    if step not in LOOKED_UP or project.catalogue_schema(settings) != "raw":
        return None
    if settings.features_url is not None:  # made elsewhere
        return None
    with open_warehouse(settings) as warehouse:
        if not warehouse.relation_exists("raw", "review_files"):
            return None
        if warehouse.relation_exists("raw", "app_events"):
            return None
        data = [
            warehouse.fetch("select file, sha256 from raw.review_files order by file"),
            warehouse.fetch("select file, sha256 from raw.catalogue_files order by file"),
            # forget-user removes rows of loaded files.
            warehouse.fetch("select count(*) as n from raw.reviews"),
            _events(warehouse),
        ]
    kept = ("target", "schema_name", "registry_url", "runs_dir")
    parts = [
        step,
        version if step != "build" else None,
        str(settings.as_of),
        {name: str(getattr(settings, name)) for name in kept},
        data,
        sql_checksum(settings),
    ]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def find(
    settings: Settings, step: str, version: str | None, inputs: str | None
) -> dict[str, Any] | None:
    """Return the summary of a step finished on these inputs, if its outputs are there."""
    if inputs is None:
        return None
    with open_warehouse(settings) as warehouse:
        _ensure(warehouse)
        rows = warehouse.fetch(
            "select summary from two_tower.finished_steps where step = ? and inputs = ?",
            (step, inputs),
        )
        if not rows or not OUTPUTS[step](settings, warehouse, version):
            return None
    summary: dict[str, Any] = json.loads(rows[0]["summary"])
    return summary


def forget(settings: Settings, steps: Iterable[str]) -> None:
    """Delete the rows of these steps: they are about to begin, or their outputs changed."""
    with open_warehouse(settings) as warehouse:
        _ensure(warehouse)
        for step in steps:
            warehouse.execute("delete from two_tower.finished_steps where step = ?", (step,))


def record(settings: Settings, step: str, inputs: str | None, summary: dict[str, Any]) -> None:
    """Store a finished step."""
    if inputs is None:
        return
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        warehouse.execute("delete from two_tower.finished_steps where step = ?", (step,))
        warehouse.execute(
            "insert into two_tower.finished_steps values (?, ?, ?, ?)",
            (step, inputs, json.dumps(summary), datetime.now(UTC).replace(tzinfo=None)),
        )


def _ensure(warehouse: Warehouse) -> None:
    ddl.ensure_schema(warehouse, "two_tower")
    warehouse.execute(TABLE)


def _events(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return what tells the events of the app from those of another run.

    Up to this day: the app writes all the while, and a run that is resumed should find its steps.
    Before the first build there is no table, which is as no event.
    """
    forgotten = warehouse.fetch("select count(*) as forgotten from raw.forgotten_users")
    if not warehouse.relation_exists("two_tower", "events"):
        return [{"latest": None}, *forgotten]
    latest = warehouse.fetch(
        "select max(event_id) as latest from two_tower.events"
        " where happened_at < cast(? as timestamp)",
        (datetime.now(UTC).date(),),
    )
    return [*latest, *forgotten]


def _is_built(settings: Settings, warehouse: Warehouse, version: str | None) -> bool:
    names = ("training_users", "user_feature_slots", "item_feature_slots", "evaluation_users")
    return all(warehouse.relation_exists(settings.schema_name, name) for name in names)


def _is_evaluated(settings: Settings, warehouse: Warehouse, version: str | None) -> bool:
    run = settings.path(settings.runs_dir) / str(version)
    found = warehouse.fetch(
        "select serving_version from two_tower.evaluation_runs where run_id = ?", (version,)
    )
    # The model was compared with the serving one, which may have changed since.
    if found and serving_version(warehouse) not in (None, version, found[0]["serving_version"]):
        return False
    return bool(found) and (run / "metrics.json").exists() and (run / "report.html").exists()


def _is_exported(settings: Settings, warehouse: Warehouse, version: str | None) -> bool:
    registry = Registry(settings)
    return registry.latest_version() == version and registry.latest_is_whole()


def _is_embedded(settings: Settings, warehouse: Warehouse, version: str | None) -> bool:
    for tower, landing in (("user", "user_embeddings"), ("item", "video_embeddings")):
        counts = warehouse.fetch(
            "select count(*) as landed, count(*) filter (where version = ?) as ours,"
            f" (select count(*) from two_tower.{tower}_feature_slots) as wanted"
            f" from two_tower.{landing}_landing",
            (version,),
        )[0]
        # A user with no feature that the model knows has no vector.
        least = 1 if tower == "user" else counts["wanted"]
        if not least <= counts["landed"] == counts["ours"] <= counts["wanted"]:
            return False
    return True


OUTPUTS: dict[str, Callable[[Settings, Warehouse, str | None], bool]] = {
    "build": _is_built,
    "evaluate": _is_evaluated,
    "export": _is_exported,
    "embed": _is_embedded,
}
