"""What people see is whole: no path, URL, name or figure is cut to the width of a terminal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from two_tower.core.checks import ok
from two_tower.core.metric_names import TITLES
from two_tower.evaluation.compare_runs import Comparison, Difference
from two_tower.evaluation.evaluate import EvaluationResult
from two_tower.interfaces import terminal
from two_tower.operations.grants import Grant
from two_tower.serving.versions import Version

DSN = "postgresql://postgres:@/postgres?host=/home/somebody/with/a/long/folder/data/postgres&port=5432"
MODELS = ("two_tower", "popularity", "item_knn", "segment_popularity", "serving")


@pytest.fixture(params=[60, 80], ids="{} columns".format)
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "stdout", Console(width=request.param))


@pytest.mark.usefixtures("narrow")
def test_a_value_is_on_one_line_to_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.summary("Where [everything] is", {"database": DSN, "runs": ["a", "b [c]"]})

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["Where", "[everything]", "is"],
        ["database", DSN],
        ["runs", "a"],
        ["b", "[c]"],
    ]


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("models", [3, 4, 5])
def test_no_table_cuts_what_it_shows(capsys: pytest.CaptureFixture[str], models: int) -> None:
    figures = dict.fromkeys(TITLES, 0.1234)
    bounds = dict.fromkeys(TITLES, (0.1111, 0.2222))
    terminal.evaluation(
        EvaluationResult(
            version="20260101_000000",
            split="random",
            split_seed="two-tower",
            users=1234,
            metrics={model: {"overall": figures} for model in MODELS[:models]},
            intervals={model: {"overall": bounds} for model in MODELS[:models]},
            report=Path("/a/very/long/path/of/a/run/in/a/folder/of/somebody/report.html"),
            seconds=1.0,
        )
    )
    difference = Difference("overall", "ndcg@10", 0.1, 0.2, 0.1, 0.0512, 0.1534, 0.0049, 100)
    terminal.comparison(Comparison("a", "b", "random", "two-tower", [difference]))
    damaged = "two_tower_20260101_000000.json is truncated or damaged"
    terminal.releases(
        [Version("20260101_000000", "previous", {}, datetime(2026, 1, 1), [], True, True, damaged)]
    )

    terminal.checks([ok("registry", f"it is at {DSN}")])

    shown = capsys.readouterr().out
    assert "…" not in shown
    letters = "".join(shown.split())
    for whole in (DSN, "calibration", "[.111,.222]", "+0.1534]", "20260101_000000", "report.html"):
        assert whole in letters


def test_of_four_models_an_interval_stands_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "stdout", Console(width=80))
    terminal.evaluation(
        EvaluationResult(
            version="20260101_000000",
            split="random",
            split_seed="two-tower",
            users=1234,
            metrics={model: {"overall": {"mrr": 0.1234}} for model in MODELS[:4]},
            intervals={model: {"overall": {"mrr": (0.1111, 0.2222)}} for model in MODELS[:4]},
            report=Path("report.html"),
            seconds=1.0,
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert max(line.count("[.111, .222]") for line in lines) == 4


def test_an_interval_from_10_on_keeps_its_0() -> None:
    found = {"two_tower": {"overall": {"novelty": (10.21, 20.05)}}}
    assert terminal._bounds(found, "two_tower", "overall", "novelty") == "[10.21, 20.05]"


def test_grants_of_no_role_are_a_sentence_that_says_what_to_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    undo = "revoke all on table two_tower.videos from analyst;"
    terminal.grants([Grant("analyst", None, "table", "two_tower.videos", True, False, undo)])
    said, others = capsys.readouterr().out.splitlines()
    assert said.startswith("The var serving_roles names no role")
    assert "serving_roles: {anon: visitor" in said
    assert others.endswith(undo)
