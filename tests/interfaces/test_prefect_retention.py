"""Prefect's database under `make prefect`: runs of a season ago go, with all that is theirs."""

from __future__ import annotations

import sqlite3
import time
import tomllib
from typing import Any

import pytest

from conftest import PROJECT_DIR
from interfaces.prefect_server import PrefectServer, running_server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prefect")]


def ended_run(server: PrefectServer, days_ago: int) -> str:
    """A run of long ago with a line of its log and an artifact; the API takes no moment but now."""
    flow = server.post("flows/", name="weekly-two-tower")["id"]
    run: str = server.post("flow_runs/", flow_id=flow, state={"type": "PENDING"})["id"]
    server.post(f"flow_runs/{run}/set_state", state={"type": "COMPLETED"}, force=True)
    line = {"name": "two_tower", "level": 20, "message": "load done", "flow_run_id": run}
    answer = server.api.post("logs/", json=[{**line, "timestamp": "2026-01-01T00:00:00Z"}])
    answer.raise_for_status()
    server.post("artifacts/", key="weekly-two-tower", type="markdown", data="#", flow_run_id=run)
    with sqlite3.connect(server.home / "prefect.db", timeout=30) as database:
        changed = database.execute(
            "update flow_run set end_time = strftime('%Y-%m-%d %H:%M:%f', end_time, ?)"
            " where id = ?",
            (f"-{days_ago} days", run),
        )
        assert changed.rowcount == 1
    database.close()
    return run


def kept(server: PrefectServer) -> dict[str, set[str]]:
    """The runs that are there, that have a log, and that have an artifact."""
    found: dict[str, list[dict[str, Any]]] = {
        "runs": server.post("flow_runs/filter"),
        "logs": server.post("logs/filter"),
        "artifacts": server.post("artifacts/filter"),
    }
    return {
        name: {row["id" if name == "runs" else "flow_run_id"] for row in rows}
        for name, rows in found.items()
    }


def test_runs_that_ended_a_season_ago_go_with_their_logs_and_artifacts() -> None:
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    vacuum = project["tool"]["prefect"]["server"]["services"]["db_vacuum"]["enabled"]
    chosen = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": vacuum}
    often = {"PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "1"}
    with running_server(chosen | often) as server:
        old, young = ended_run(server, 91), ended_run(server, 89)

        deadline = time.monotonic() + 60
        while old in set.union(*kept(server).values()) and time.monotonic() < deadline:
            time.sleep(0.5)

        assert kept(server) == {name: {young} for name in ("runs", "logs", "artifacts")}
