"""Each drill that the runbook names is a test, each exit code has a row, and each row a drill."""

import re
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]
PAGE = (PROJECT_DIR / "docs/runbook.md").read_text(encoding="utf-8")


def test_every_drill_that_the_page_names_exists() -> None:
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 20
    for file, test in named:
        source = (PROJECT_DIR / "tests" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in source, f"{file}::{test}"


def test_every_alarm_has_a_drill() -> None:
    table = PAGE.split("| what you see |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) > 15
    for row in table:
        assert "::test_" in row.rsplit(" | ", 1)[1], row


def test_every_exit_code_has_a_row() -> None:
    from two_tower.core.errors import ExitCode

    rows = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert {int(row) for row in rows} == {code.value for code in ExitCode if code}
