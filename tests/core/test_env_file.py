"""`.env` as people and their editors write it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PROJECT_DIR
from two_tower.core.errors import ExitCode, InputError
from two_tower.core.settings import read_settings, unknown_names
from two_tower.interfaces.cli import main

SECRET = "s3cretpw"
COMMAND = "from two_tower.interfaces.cli import main; main()"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is a project, with nothing in it; this process is in it."""
    (tmp_path / "dbt_project.yml").write_text(
        "name: two_tower\nversion: '1'\nprofile: two_tower\n", encoding="utf-8"
    )
    shutil.copy(PROJECT_DIR / "profiles.yml.example", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


UTF_16 = "TWO_TOWER_TARGET=postgres\n".encode("utf-16")


@pytest.mark.parametrize(
    ("content", "named", "command"),
    [
        (UTF_16, "UTF-16", "status"),
        (UTF_16, "UTF-16", "init"),
        (UTF_16, "UTF-16", "db url"),
        (UTF_16, "UTF-16", "dbt --version"),
        ("TWO_TOWER_TARGET=postgres\n".encode("utf-16-le"), "UTF-16", "status"),
        ("# 夏の設定\nTWO_TOWER_TARGET=postgres\n".encode("cp932"), "CP932", "status"),
        (b"TWO_TOWER_TARGET=\xff\xfe\xfd\n", "not UTF-8", "status"),
    ],
    ids=["status", "init", "db url", "dbt", "utf-16 without a mark", "cp932", "neither"],
)
def test_a_file_in_another_encoding_is_named_with_the_fix(
    project: Path,
    content: bytes,
    named: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / ".env").write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["two-tower", *command.split()])

    with pytest.raises(SystemExit) as ended:
        main()

    printed = capsys.readouterr()
    assert ended.value.code == ExitCode.BAD_INPUT
    assert printed.out == ""
    assert str(project / ".env") in printed.err
    assert named in printed.err
    assert "save it as UTF-8" in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "content", [UTF_16, "# 夏の設定\n".encode("cp932")], ids=["utf-16", "cp932"]
)
def test_a_program_that_begins_beside_such_a_file_says_the_same(
    project: Path, content: bytes
) -> None:
    (project / ".env").write_bytes(content)

    done = run("load", "--json")

    assert done.returncode == ExitCode.BAD_INPUT
    assert f"{project / '.env'}" in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffTWO_TOWER_TARGET=postgres\nDATABASE_URL=postgresql://a:b#c@h/d\n",
        "TWO_TOWER_TARGET='postgres'\r\nDATABASE_URL=\"postgresql://a:b#c@h/d\"\r\n",
        "export TWO_TOWER_TARGET = postgres # ours\nDATABASE_URL=postgresql://a:b#c@h/d # its\n",
        "two_tower_target=postgres\nTWO_TOWER_DATABASE_URL=\nDATABASE_URL=postgresql://a:b#c@h/d",
        "TWO_TOWER_THREADS=\nTWO_TOWER_TARGET=postgres\n\n#x\nDATABASE_URL=postgresql://a:b#c@h/d",
    ],
    ids=["mark", "quotes and crlf", "export and comments", "lower case", "nothing given"],
)
def test_it_is_read_as_every_reader_of_such_files_reads_it(project: Path, content: str) -> None:
    (project / ".env").write_text(content, encoding="utf-8", newline="")

    settings = read_settings(project)

    assert settings.target == "postgres"
    assert settings.threads == 2
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://a:b#c@h/d"


@pytest.mark.parametrize(
    "line",
    [
        f"DATABASE_URL='postgresql://a:{SECRET}@h/d",
        f"DATABASE_URL: postgresql://a:{SECRET}@h/d",
        f"set DATABASE_URL=postgresql://a:{SECRET}@h/d",
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_kept_quiet(project: Path, line: str) -> None:
    (project / ".env").write_text(f"TWO_TOWER_TARGET=postgres\n\n{line}\nOTHER=1\n")

    with pytest.raises(InputError, match="line 3") as raised:
        read_settings(project)

    assert SECRET not in str(raised.value) + raised.value.hint


def test_somebody_elses_lines_are_left_to_them(project: Path) -> None:
    (project / ".env").write_text("this is no setting\nSUPABASE_URL=https://x\nVITE_TWO_TOWERS=1\n")

    assert read_settings(project).target == "embedded"
    assert unknown_names(project) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TWO_TOWER_TRAGET", "TWO_TOWER_TARGET"),
        ("TWO_TOWER_SCHEMA_NAME", "TWO_TOWER_SCHEMA"),
        ("TWO_TOWER_DB_URL", "TWO_TOWER_DATABASE_URL"),
        ("TWOTOWER_TARGET", "TWO_TOWER_TARGET"),
        ("TWO_TOWERS_TARGET", "TWO_TOWER_TARGET"),
        ("TWO_TOWER_TRAIN_EPOCHS", "TWO_TOWER_TRAIN__EPOCHS"),
    ],
)
@pytest.mark.parametrize("place", ["file", "environment"])
def test_a_name_that_is_no_setting_is_found_with_the_nearest(
    project: Path, name: str, meant: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "file":
        (project / ".env").write_text(f"{name}=postgres\n")
    else:
        monkeypatch.setenv(name, "postgres")

    (sentence,) = unknown_names(project)

    assert sentence == f"{name} is not a setting and has no effect; did you mean {meant}?"


def test_a_command_warns_of_it(project: Path) -> None:
    (project / ".env").write_text("TWO_TOWER_TRAGET=postgres\n")

    done = run("status", TWO_TOWER_TARGET="duckdb")

    assert done.returncode == ExitCode.OK
    assert done.stderr.startswith("WARNING: TWO_TOWER_TRAGET is not a setting")


def test_a_training_setting_that_is_none_is_refused_with_the_nearest(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWO_TOWER_TRAIN__EPOCS", "3")

    with pytest.raises(InputError, match=r"EPOCS is not a setting .* mean TWO_TOWER_TRAIN__EPOCHS"):
        read_settings(project)


def test_what_is_warned_of_is_json_where_the_log_is(project: Path) -> None:
    (project / ".env").write_text("TWO_TOWER_TRAGET=postgres\nTWO_TOWER_LOG_FORMAT=json\n")

    done = run("status", "--json", TWO_TOWER_TARGET="duckdb")

    (line,) = done.stderr.splitlines()
    assert json.loads(line)["level"] == "warning"
    assert json.loads(done.stdout)["serving_version"] is None


def test_settings_that_are_there_are_not_warned_of(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in (PROJECT_DIR / ".env.example").read_text(encoding="utf-8").splitlines():
        name = line.removeprefix("# ").partition("=")[0]
        monkeypatch.setenv(name if name.isupper() else "TWO_TOWER_TRAIN__SEED", "1")
    monkeypatch.setenv("TWO_TOWER_REGISTRY_OPTIONS__client_kwargs__region", "x")

    assert unknown_names(project) == []


def test_the_former_name_of_a_setting_is_read_and_not_warned_of(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWO_TOWER_TRAIN__FRESHNESS", "0.01")

    assert read_settings(project).train.new_item_budget == 0.01
    assert unknown_names(project) == []
