"""Each run leaves a row, however it ends, and `two-tower status` shows the newest."""

from __future__ import annotations

from typing import Any

import pytest

from two_tower.core.errors import BusyError, GateError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database import locks
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import pipeline, run_history
from two_tower.operations.health import health
from two_tower.operations.status import status

pytestmark = pytest.mark.slow


def walk(settings: Settings, error: BaseException | None) -> None:
    """Run steps that do nothing, the last of which raises."""

    def do(name: str, settings: Settings, version: str | None) -> dict[str, Any]:
        if name == "train":
            return {"version": "20260101_000000"}
        if name == "release" and error is not None:
            raise error
        return {}

    pipeline.run(settings, do, {})


def test_every_run_leaves_how_it_ended(either_settings: Settings) -> None:
    ends: list[tuple[BaseException | None, str]] = [
        (None, "done, model 20260101_000000"),
        (GateError("coverage is 0", "look"), "refused, model 20260101_000000, coverage is 0"),
        (NotEnoughDataError("none", "load"), "not enough data, model 20260101_000000, none"),
        (KeyboardInterrupt(), "stopped, model 20260101_000000"),
        (ValueError("two\nlines"), "failed, model 20260101_000000, two"),
    ]
    for error, expected in ends:
        if error is None:
            walk(either_settings, error)
        else:
            with pytest.raises(type(error)):
                walk(either_settings, error)
        assert status(either_settings).last_runs[0].endswith(f" load to release: {expected}")
    assert len(status(either_settings).last_runs) == 5


def test_a_run_that_was_killed_is_cut_short_as_soon_as_its_lock_is_free(
    either_settings: Settings,
) -> None:
    killed = run_history.recorded(either_settings, "load to release", {}, is_alone=True)
    for name in (locks.RUN, locks.SERVING):
        with locks.held(either_settings, name):
            if name == locks.RUN:
                killed.__enter__()
            assert status(either_settings).last_runs[0].endswith("load to release: running")
            assert [run.state for run in health(either_settings).runs] == ["running"]
    assert status(either_settings).last_runs[0].endswith("load to release: cut short")
    assert [run.state for run in health(either_settings).runs] == ["cut short"]
    walk(either_settings, None)
    assert status(either_settings).last_runs[1].endswith("load to release: cut short")


def test_a_run_that_is_skipped_leaves_none(clean_postgres: Settings) -> None:
    with locks.held(clean_postgres, locks.RUN), pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "_mine", {})  # as another process would
        with pytest.raises(BusyError):
            walk(clean_postgres, None)
    with open_warehouse(clean_postgres) as warehouse:
        assert not warehouse.relation_exists("two_tower", "pipeline_runs")
