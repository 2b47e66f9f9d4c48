"""The history of runs, failed ones included: ``two_tower.pipeline_runs``, a row per run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg

from two_tower.core.errors import GateError, NotEnoughDataError, TwoTowerError
from two_tower.core.settings import Settings
from two_tower.database import ddl, locks
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.operations import retries

logger = logging.getLogger(__name__)

TABLE = """
create table if not exists two_tower.pipeline_runs (
    run_id text primary key, steps text not null, started_at timestamp not null,
    ended_at timestamp, state text not null, version text, message text
)"""
RUNNING, DONE, CUT_SHORT = "running", "done", "cut short"
REFUSED, SHORT_OF_DATA, STOPPED, FAILED = "refused", "not enough data", "stopped", "failed"
STATES = (RUNNING, DONE, REFUSED, SHORT_OF_DATA, STOPPED, FAILED, CUT_SHORT)


@contextmanager
def recorded(
    settings: Settings, steps: str, summaries: Mapping[str, Mapping[str, Any]], is_alone: bool
) -> Iterator[None]:
    """Record a run: that it began, and how it ended.

    Args:
        settings: the project.
        steps: what it does, for people.
        summaries: of the steps finished so far, by name.
        is_alone: whether the run lock is held. Then any other run that is running is dead.
    """
    run_id = uuid4().hex
    retries.call(
        "the record of a run",
        lambda: _begin(settings, run_id, steps, is_alone),
        settings.retry_seconds,
    )
    state, message = DONE, None
    try:
        yield
    except BaseException as error:
        state, message = _state(error), str(error) or None
        raise
    finally:
        version = next((s["version"] for s in summaries.values() if s.get("version")), None)
        _end(settings, run_id, state, version, message)


def state_now(settings: Settings, warehouse: Warehouse, state: str) -> str:
    """Return the actual state of a recorded run: one that is running without a lock has died."""
    if state == RUNNING and not locks.is_any_held(settings, warehouse):
        return CUT_SHORT
    return state


def last_runs(settings: Settings, warehouse: Warehouse, count: int) -> list[str]:
    """Return the newest runs, one line each."""
    if not warehouse.relation_exists("two_tower", "pipeline_runs"):
        return []
    rows = warehouse.fetch(
        "select started_at, steps, state, version, message from two_tower.pipeline_runs"
        f" order by started_at desc, run_id limit {count}"
    )
    return [
        f"{row['started_at']:%Y-%m-%d %H:%M} {row['steps']}:"
        f" {state_now(settings, warehouse, row['state'])}"
        + (f", model {row['version']}" if row["version"] else "")
        + (f", {row['message'].splitlines()[0]}" if row["message"] else "")
        for row in rows
    ]


def _begin(settings: Settings, run_id: str, steps: str, is_alone: bool) -> None:
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        ddl.ensure_schema(warehouse, "two_tower")
        warehouse.execute(TABLE)
        if is_alone:
            warehouse.execute(
                "update two_tower.pipeline_runs set state = ? where state = ?", (CUT_SHORT, RUNNING)
            )
        warehouse.execute(
            "insert into two_tower.pipeline_runs values (?, ?, ?, null, ?, null, null)",
            (run_id, steps, _now(), RUNNING),
        )


def _state(error: BaseException) -> str:
    if isinstance(error, GateError):
        return REFUSED
    if isinstance(error, NotEnoughDataError):
        return SHORT_OF_DATA
    return STOPPED if isinstance(error, KeyboardInterrupt) else FAILED


def _end(
    settings: Settings, run_id: str, state: str, version: str | None, message: str | None
) -> None:
    """Record how a run ended; an unreachable database must not hide the run's own error."""
    try:
        with open_warehouse(settings) as warehouse:
            warehouse.execute(
                "update two_tower.pipeline_runs set ended_at = ?, state = ?, version = ?,"
                " message = ? where run_id = ?",
                (_now(), state, version, message, run_id),
            )
    except (TwoTowerError, psycopg.Error) as error:
        logger.warning("the end of the run is not recorded: %s", error)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
