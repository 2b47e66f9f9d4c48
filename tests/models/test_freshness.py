"""`dbt source freshness`: whether review files still come, on both engines."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from conftest import MakeDataDir
from two_tower.core.errors import BuildError
from two_tower.core.settings import Settings
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import setup


def freshness(settings: Settings, target: Path) -> str:
    """What the command of the runbook says, and its exit code with it."""
    has_failed = True
    with contextlib.suppress(BuildError):
        dbt.run(settings, "source", "freshness")
        has_failed = False
    (row,) = json.loads((target / "sources.json").read_text(encoding="utf-8"))["results"]
    assert has_failed == (row["status"] == "error")
    return str(row["status"])


def test_files_that_no_longer_come_are_a_warning_and_then_an_error(
    either_settings: Settings, dbt_target: Path, make_data_dir: MakeDataDir
) -> None:
    setup.prepare(either_settings)
    make_data_dir()
    with open_warehouse(either_settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(either_settings, warehouse)
    found = [freshness(either_settings, dbt_target)]
    for days in (9, 7):
        with open_warehouse(either_settings) as warehouse:
            warehouse.execute(
                f"update raw.review_files set loaded_at = loaded_at - interval '{days} days'"
            )
        found.append(freshness(either_settings, dbt_target))
    assert found == ["pass", "warn", "error"]
