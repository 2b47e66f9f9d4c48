"""What `two-tower status --check` says, and the metrics, of a project that is well or is not."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from two_tower.core.errors import ExitCode, InputError
from two_tower.core.thresholds import Thresholds
from two_tower.operations import monitor, prometheus
from two_tower.operations.health import Health, Run
from two_tower.operations.monitor import State
from two_tower.operations.run_history import STATES

NOW = datetime(2026, 2, 1, 12)
PROJECT_DIR = Path(__file__).resolve().parents[2]
VERSION = "20260130_120000"


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


WEEKLY = Run("load to release", "done", ago(days=2, hours=1), ago(days=2), ago(days=2), None)
DAILY = Run("load to refresh", "done", ago(hours=3), ago(hours=2), ago(hours=2), None)
WELL = Health(
    answers=True,
    serving_version=VERSION,
    released_at=ago(days=2),
    latest_version=VERSION,
    index="whole",
    index_recall=0.996,
    rejected_share=0.01,
    drifted=0,
    rows={"raw.reviews": 60_000, "raw.rejected_reviews": 600, "public.video_embeddings": 1_500},
    metrics={"ndcg@10": 0.12, "recall@20": 0.3},
    runs=[DAILY, WEEKLY],
)


def run(**changed: Any) -> list[Run]:
    return [DAILY, dataclasses.replace(WEEKLY, **changed)]


def judge(**changed: Any) -> dict[str, monitor.Verdict]:
    health = dataclasses.replace(WELL, **changed)
    return {found.check: found for found in monitor.verdicts(health, Thresholds(), NOW)}


def test_all_is_well() -> None:
    found = judge()

    assert {verdict.state for verdict in found.values()} == {State.OK}
    assert monitor.exit_code(list(found.values())) == ExitCode.OK
    assert set(found) == {
        *("answer", "release", "run", "daily", "rejected", "index", "latest", "drift")
    }


@pytest.mark.parametrize(
    ("changed", "check", "state", "told"),
    [
        ({"answers": False}, "answer", State.CRITICAL, "no answer"),
        ({"released_at": None}, "release", State.WARNING, "no model was released"),
        ({"released_at": ago(days=9)}, "release", State.WARNING, "serves since 9.0 days"),
        ({"released_at": ago(days=15)}, "release", State.CRITICAL, "serves since 15.0 days"),
        ({"runs": []}, "run", State.WARNING, "there was none yet"),
        ({"runs": run(done_at=None, state="failed")}, "run", State.WARNING, "none has ended well"),
        ({"runs": run(state="refused", message="gate\nx")}, "run", State.WARNING, "refused: gate"),
        ({"runs": run(state="cut short")}, "run", State.WARNING, "is cut short"),
        ({"runs": run(done_at=ago(days=10))}, "run", State.WARNING, "10.0 days old"),
        ({"runs": run(done_at=ago(days=16))}, "run", State.CRITICAL, "16.0 days old"),
        ({"runs": run(state="running")}, "run", State.WARNING, "is running"),
        ({"runs": [dataclasses.replace(DAILY, state="failed")]}, "daily", State.WARNING, "failed"),
        ({"rejected_share": 0.05}, "rejected", State.WARNING, "5.00%"),
        ({"rejected_share": 0.3}, "rejected", State.CRITICAL, "30.00%"),
        ({"index": "missing"}, "index", State.WARNING, "index missing"),
        ({"index_recall": 0.95}, "index", State.WARNING, "0.950"),
        ({"index_recall": 0.7}, "index", State.CRITICAL, "0.700"),
        ({"latest_version": None}, "latest", State.WARNING, "missing"),
        ({"latest_version": "20260131_000000"}, "latest", State.WARNING, f"{VERSION} serves"),
        ({"drifted": 2}, "drift", State.WARNING, "2 measures"),
    ],
)
def test_what_is_not_well_is_told_and_nothing_else(
    changed: dict[str, Any], check: str, state: State, told: str
) -> None:
    found = judge(**changed)

    assert (found[check].state, told in found[check].message) == (state, True), found[check]
    others = [verdict for verdict in found.values() if verdict.check not in (check, "run")]
    assert {verdict.state for verdict in others} <= {State.OK}
    wanted = ExitCode.WARNING if state is State.WARNING else ExitCode.CRITICAL
    assert monitor.exit_code([found[check]]) == wanted


def test_a_run_at_work_and_one_without_enough_data_are_well() -> None:
    for changed in ({"state": "running", "started_at": ago(hours=1)}, {"state": "not enough data"}):
        assert judge(runs=run(**changed))["run"].state is State.OK


def test_a_monitor_that_knows_numbers_alone_is_told_the_same_ones_for_ever() -> None:
    assert (ExitCode.WARNING, ExitCode.CRITICAL) == (9, 10)
    by_state = {
        State.OK: judge(),
        State.WARNING: judge(index="half built"),
        State.CRITICAL: judge(answers=False),
    }
    for code, found in zip((0, 9, 10), by_state.values(), strict=True):
        assert monitor.exit_code(list(found.values())) == code
    assert by_state[State.WARNING]["index"].state is State.WARNING


def test_thresholds_are_the_projects_own() -> None:
    health = dataclasses.replace(WELL, rejected_share=0.01)
    strict = Thresholds(rejected_share=(0.0, 0.0))
    found = {verdict.check: verdict for verdict in monitor.verdicts(health, strict, NOW)}
    assert found["rejected"].state is State.CRITICAL


@pytest.mark.parametrize(
    ("changed", "metric", "value"),
    [
        ({"answers": False}, "answers", 0),
        ({"latest_version": "20260131_000000"}, "release_is_latest", 0),
        ({"index": "missing"}, "index_whole", 0),
        ({"index": "half built"}, "index_whole", 0),
        ({"index": "none"}, "index_whole", 1),
    ],
)
def test_a_metric_falls_where_it_should(
    changed: dict[str, Any], metric: str, value: float, tmp_path: Path
) -> None:
    file = tmp_path / "two_tower.prom"
    prometheus.write(str(file), dataclasses.replace(WELL, **changed))
    assert samples(file.read_text())[f"two_tower_{metric}", ()] == value


def test_an_empty_project_has_no_answer_and_breaks_nothing() -> None:
    empty = Health(False, None, None, None, None, None, None, None, {}, {}, [])

    found = monitor.verdicts(empty, Thresholds(), NOW)

    assert monitor.exit_code(found) == ExitCode.CRITICAL


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """The metrics as Prometheus reads them: name and label values, by their names -> value."""
    return {
        (sample.name, tuple(text for _, text in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_are_what_prometheus_reads(tmp_path: Path) -> None:
    file = tmp_path / "two_tower.prom"
    prometheus.write(str(file), WELL)

    found = samples(file.read_text())

    released = (ago(days=2) - datetime(1970, 1, 1)).total_seconds()
    assert found["two_tower_up", ()] == 1
    assert found["two_tower_answers", ()] == 1
    assert found["two_tower_release_info", (VERSION,)] == 1
    assert found["two_tower_release_timestamp_seconds", ()] == released
    assert found["two_tower_release_is_latest", ()] == 1
    assert found["two_tower_index_recall", ()] == 0.996
    assert found["two_tower_index_whole", ()] == 1
    assert found["two_tower_rejected_share", ()] == 0.01
    assert found["two_tower_drifted", ()] == 0
    assert found["two_tower_rows", ("raw.reviews",)] == 60_000
    assert found["two_tower_quality", ("ndcg@10",)] == 0.12
    assert found["two_tower_last_run_success_timestamp_seconds", ("load to release",)] == released
    assert (
        found["two_tower_last_run_start_timestamp_seconds", ("load to release",)] == released - 3600
    )
    states = {
        state: found["two_tower_last_run_state", (state, "load to release")] for state in STATES
    }
    assert [state for state, value in states.items() if value] == ["done"]
    assert list(tmp_path.iterdir()) == [file]


def test_a_project_that_does_not_answer_is_down_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "two_tower.prom"
    prometheus.write(str(file), WELL)
    prometheus.write(str(file), None)

    names = {name for name, _ in samples(file.read_text())}

    assert names == {"two_tower_up", "two_tower_build_info"}
    assert samples(file.read_text())["two_tower_up", ()] == 0


@pytest.mark.parametrize(("name", "told"), [("metrics", ".prom"), ("nowhere/x.prom", "cannot be")])
def test_a_file_that_nobody_would_read_or_can_write_is_named(
    tmp_path: Path, name: str, told: str
) -> None:
    with pytest.raises(InputError, match=told) as error:
        prometheus.write(str(tmp_path / name), WELL)

    assert name in str(error.value)


def test_every_metric_of_the_page_is_written(tmp_path: Path) -> None:
    file = tmp_path / "two_tower.prom"
    prometheus.write(str(file), WELL)
    page = (PROJECT_DIR / "docs/monitoring.md").read_text(encoding="utf-8")

    named = set(re.findall(r"\btwo_tower_[a-z_]+\b", page))

    written = {name for name, _ in samples(file.read_text())}
    assert len(named) > 10
    assert named - written == set()
    assert written - named == set()


def test_every_threshold_of_the_page_is_a_setting() -> None:
    page = (PROJECT_DIR / "docs/monitoring.md").read_text(encoding="utf-8")

    named = {name.lower() for name in re.findall(r"TWO_TOWER_MONITOR__([A-Z_]+)", page)}

    assert named == set(Thresholds.model_fields)
