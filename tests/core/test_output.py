"""Terminals and logs that cannot show every character: replaced, and JSON stays whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PROJECT_DIR
from two_tower.core.errors import ExitCode
from two_tower.core.output import short

COMMAND = "from two_tower.interfaces.cli import main; main()"
TERMINALS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp932": {"PYTHONIOENCODING": "cp932"},
    "the C locale": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict"},
}


@pytest.fixture(params=TERMINALS)
def terminal(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables that make a terminal show little."""
    return TERMINALS[request.param]


def two_tower(folder: Path, terminal: dict[str, str], *arguments: str, **settings: str) -> bytes:
    """Run a command on an empty DuckDB project; return what it wrote on both streams."""
    (folder / "dbt_project.yml").write_text("name: two_tower\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **terminal, "TWO_TOWER_TARGET": "duckdb", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert b"UnicodeEncodeError" not in done.stdout, done.stdout
    assert done.returncode in (ExitCode.OK, ExitCode.BAD_INPUT), done.stdout
    return done.stdout


def test_a_table_shows_what_it_can(tmp_path: Path, terminal: dict[str, str]) -> None:
    printed = two_tower(tmp_path, terminal, "status", TWO_TOWER_REGISTRY_URL="a-夏-🌻-b")

    assert b"a-" in printed
    assert b"?-b" in printed


def test_an_error_shows_what_it_can(tmp_path: Path, terminal: dict[str, str]) -> None:
    shutil.copyfile(PROJECT_DIR / "profiles.yml.example", tmp_path / "profiles.yml")
    (tmp_path / "raw/reviews").mkdir(parents=True)
    (tmp_path / "raw/reviews/dmm_reviews_夏🌻.csv").write_text("product_url\n", encoding="utf-8")

    printed = two_tower(tmp_path, terminal, "load", TWO_TOWER_DATA_DIR="raw")

    assert b"error:" in printed
    assert b"dmm_reviews_" in printed


def test_json_is_whole(tmp_path: Path, terminal: dict[str, str]) -> None:
    printed = two_tower(tmp_path, terminal, "status", "--json", TWO_TOWER_REGISTRY_URL="夏🌻")

    assert json.loads(printed.decode("ascii"))["registry"] == "夏🌻"


def test_the_log_in_json_is_whole(tmp_path: Path, terminal: dict[str, str]) -> None:
    (tmp_path / ".env").write_text(
        "TWO_TOWER_夏🌻=1\nTWO_TOWER_LOG_FORMAT=json\n", encoding="utf-8"
    )

    printed = two_tower(tmp_path, terminal, "status", "--json")

    assert "TWO_TOWER_夏🌻" in json.loads(printed.splitlines()[0].decode("ascii"))["message"]


def test_where_all_can_be_shown_json_is_for_people_too(tmp_path: Path) -> None:
    terminal = {"PYTHONIOENCODING": "utf-8"}

    printed = two_tower(tmp_path, terminal, "status", "--json", TWO_TOWER_REGISTRY_URL="夏")

    assert "夏".encode() in printed


@pytest.mark.parametrize(
    ("number", "expected"),
    [("0.25", ".25"), ("-0.5", "-.5"), ("10.25", "10.25"), ("-20.05", "-20.05"), ("1.00", "1.00")],
)
def test_a_short_number_is_the_same_number(number: str, expected: str) -> None:
    assert short(number) == expected
    assert float(expected) == float(number)
