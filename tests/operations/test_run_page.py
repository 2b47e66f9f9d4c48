"""The page that a run leaves in Prefect: read in a browser, maybe far from the worker."""

import re
import socket

from two_tower.core.settings import Settings
from two_tower.operations import run_page
from two_tower.operations.pipeline import STEPS


def test_the_report_is_named_with_its_machine_and_no_link_is_dead(
    duckdb_settings: Settings,
) -> None:
    report = "/srv/two tower/runs/20260101_000000/report.html"
    done = {"evaluate": {"version": "20260101_000000", "report": report, "seconds": 1.0}}

    page = run_page.page(duckdb_settings, done, STEPS, "**Completed**")

    assert f"`{report}` on {socket.gethostname()}" in page
    links = re.findall(r"\]\(([^)]*)\)|<(\w+:[^>]*)>", page)
    assert [link for link in links if not "".join(link).startswith("http")] == []
    assert "file:" not in page


def test_every_step_has_a_row_and_counts_are_told_from_figures() -> None:
    report = run_page.step_table(
        {
            "load": {"rows_read": 12345, "files_loaded": 2, "seconds": 1.26},
            "train": {"version": "20260101_000000", "loss": 0.25, "resumed": True, "seconds": 60.0},
        }
    )

    lines = report.splitlines()
    assert lines[0] == "Model version: 20260101_000000"
    assert "| load | 1.3 | rows read 12,345, files loaded 2 |" in lines
    assert "| train | 60.0 |  |" in lines
    assert lines[-1] == "| **all** | **61.3** | |"
    rows = [line.split(" | ")[0].strip("| *") for line in lines[4:-1]]
    assert rows == [step.name for step in STEPS]


def test_steps_that_were_not_reached_are_named() -> None:
    report = run_page.step_table({"load": {"seconds": 1.0}})

    assert "Model version: none yet" in report
    assert report.count("not done") == len(STEPS) - 1


def test_what_a_step_warned_of_is_below_the_table() -> None:
    report = run_page.step_table(
        {"load": {"seconds": 1.0, "warnings": ["a.csv is empty"]}, "build": {"seconds": 2.0}}
    )

    assert report.endswith("\n\nwarning: a.csv is empty")
