"""What `dbt.run` makes of what dbt leaves behind."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from dbt.cli.main import cli

from two_tower.core.settings import Settings
from two_tower.database import dbt
from two_tower.operations import setup

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
