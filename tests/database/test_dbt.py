"""What `dbt.run` makes of what dbt leaves behind."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from pathlib import Path

import pytest
from dbt.cli.main import cli

from two_tower.core.settings import Settings
from two_tower.database import dbt
from two_tower.operations import pipeline, setup
from two_tower.serving import release

RESULTS = {"results": [{"unique_id": "model.two_tower.videos", "status": "success"}]}


@pytest.mark.parametrize("names", [("DBT_TARGET_PATH",), ("DBT_ENGINE_TARGET_PATH",), None])
def test_results_are_read_where_dbt_writes_them(
    duckdb_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    names: tuple[str, ...] | None,
) -> None:
    both = ("DBT_ENGINE_TARGET_PATH", "DBT_TARGET_PATH")
    for name in both:
        monkeypatch.delenv(name, raising=False)
    for name in names or both:
        monkeypatch.setenv(name, str(tmp_path / name))

    def shown(command: list[str], env: dict[str, str], folder: Path) -> tuple[int, str]:
        path = tmp_path / (names or both)[0]
        path.mkdir()
        (path / "run_results.json").write_text(json.dumps(RESULTS))
        os.utime(path / "run_results.json", (time.time() + 1,) * 2)  # dbt takes longer than this
        return 0, ""

    monkeypatch.setattr(dbt, "_shown", shown)
    setup.prepare(duckdb_settings)

    assert dbt.run(duckdb_settings, "build").models == 1
    (option,) = (p for p in cli.commands["build"].params if p.name == "target_path")
    assert tuple(option.envvar) == both  # dbt takes the first that is set


def test_the_commands_of_a_run_have_the_same_vars(
    duckdb_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With others dbt parses the whole project again, in more time than a release takes."""
    commands: list[tuple[str, ...]] = []

    def run(settings: Settings, *arguments: str) -> dbt.Built:
        commands.append(arguments)
        return dbt.Built(0, 0, ())

    monkeypatch.setattr(dbt, "run", run)
    settings = duckdb_settings.model_copy(update={"as_of": datetime(2026, 1, 2)})
    pipeline.build(settings, None)
    release._build(settings, "20260101_000001", is_rollback=False)
    given = [json.loads(each[each.index("--vars") + 1]) for each in commands]
    assert given == [{"as_of": "2026-01-02T00:00:00"}] * 2
    release._build(settings, "20260101_000001", is_rollback=True)
    assert json.loads(commands[-1][-1]) == {"as_of": "2026-01-02T00:00:00", "is_rollback": True}
    pipeline.build(duckdb_settings, None)
    assert "--vars" not in commands[-1]
