"""The page that a run leaves in Prefect: read in a browser, maybe far from the worker."""

import re
import socket

from two_tower.core.settings import Settings
from two_tower.operations.pipeline import STEPS
from two_tower.operations.run_page import model_card


def test_the_report_is_named_with_its_machine_and_no_link_is_dead(
    duckdb_settings: Settings,
) -> None:
    report = "/srv/two tower/runs/20260101_000000/report.html"
    done = {"evaluate": {"version": "20260101_000000", "report": report, "seconds": 1.0}}

    page = model_card(duckdb_settings, done, STEPS, "**Completed**")

    assert f"`{report}` on {socket.gethostname()}" in page
    links = re.findall(r"\]\(([^)]*)\)|<(\w+:[^>]*)>", page)
    assert [link for link in links if not "".join(link).startswith("http")] == []
    assert "file:" not in page
