"""At the end of ``make test-faults``: a table of faults, what was checked after each, results."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from faults import invariants

LEGEND = (
    "I1: answers of one release, that before or the whole new one · I2: running again converges"
    " · I3: latest.json names files that are there and match. Of faults in a row on one and the"
    " same run, the last says that it converged."
)
OUTCOMES = ("passed", "failed", "error", "skipped", "")


@pytest.fixture(autouse=True)
def _checked(record_property: Any) -> Iterator[None]:
    """Write down which invariants a test has checked."""
    invariants.CHECKED.clear()
    yield
    record_property("invariants", " ".join(sorted(invariants.CHECKED)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:  # type: ignore[misc]
    report = yield
    if item.get_closest_marker("faults") is not None:
        function = getattr(item, "function", None)
        fault = (inspect.getdoc(function) or item.name).splitlines()[0].rstrip(".")
        if hasattr(item, "callspec"):
            fault += f" [{item.callspec.id}]"
        report.user_properties.append(("fault", fault))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows: dict[tuple[str, int, str], dict[str, Any]] = {}
    for outcome in OUTCOMES:
        for report in terminalreporter.stats.get(outcome, []):
            properties = dict(getattr(report, "user_properties", []))
            if "fault" not in properties:
                continue
            file, line, _ = report.location
            row = rows.setdefault(
                (file, line or 0, properties["fault"]), {"checked": "", "result": "", "seconds": 0}
            )
            row["seconds"] += report.duration
            row["checked"] = properties.get("invariants") or row["checked"]
            if outcome and (report.when == "call" or outcome != "passed"):
                why = f": {report.longrepr[2]}" if outcome == "skipped" else ""
                row["result"] = row["result"] or outcome + why
    if not rows:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line("| fault | invariants | result | seconds |")
    terminalreporter.write_line("| --- | --- | --- | ---: |")
    for key in sorted(rows):
        row = rows[key]
        cells = [key[2], row["checked"] or "its own", row["result"], f"{row['seconds']:.0f}"]
        terminalreporter.write_line(f"| {' | '.join(cells)} |")
    terminalreporter.write_line(LEGEND)
