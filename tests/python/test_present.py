"""What people see is whole: no path, URL, name or figure is cut to the width of a terminal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from two_tower import present
from two_tower.checks import ok
from two_tower.comparison import Comparison, Difference
from two_tower.evaluate import EvaluationResult
from two_tower.releases import Version

DSN = "postgresql://postgres:@/postgres?host=/home/somebody/with/a/long/folder/data/postgres&port=5432"
MODELS = ("two_tower", "popularity", "item_knn", "serving")


@pytest.fixture(params=[60, 80], ids="{} columns".format)
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(present, "stdout", Console(width=request.param))


@pytest.mark.usefixtures("narrow")
def test_a_value_is_on_one_line_to_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    present.summary("Where [everything] is", {"database": DSN, "runs": ["a", "b [c]"]})

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["Where", "[everything]", "is"],
        ["database", DSN],
        ["runs", "a"],
        ["b", "[c]"],
    ]


@pytest.mark.usefixtures("narrow")
def test_no_table_cuts_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    figures = dict.fromkeys(present.METRICS, 0.1234)
    bounds = dict.fromkeys(present.METRICS, (0.1111, 0.2222))
    present.evaluation(
        EvaluationResult(
            version="20260101_000000",
            split="random",
            split_seed="two-tower",
            users=1234,
            metrics={model: {"overall": figures} for model in MODELS},
            intervals={model: {"overall": bounds} for model in MODELS},
            report=Path("/a/very/long/path/of/a/run/in/a/folder/of/somebody/report.html"),
            seconds=1.0,
        )
    )
    difference = Difference("overall", "ndcg@10", 0.1, 0.2, 0.1, 0.0512, 0.1534, 0.0049, 100)
    present.comparison(Comparison("a", "b", "random", "two-tower", [difference]))
    damaged = "two_tower_20260101_000000.json is truncated or damaged"
    present.releases(
        [Version("20260101_000000", "previous", {}, datetime(2026, 1, 1), [], True, True, damaged)]
    )

    present.checks([ok("registry", f"it is at {DSN}")])

    shown = capsys.readouterr().out
    assert "…" not in shown
    letters = "".join(shown.split())
    for whole in (DSN, "calibration", "[.111,.222]", "+0.1534]", "20260101_000000", "report.html"):
        assert whole in letters
