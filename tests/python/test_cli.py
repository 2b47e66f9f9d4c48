"""The command line as people and schedulers meet it: help, JSON, errors, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main

from conftest import PROJECT_DIR, MakeDataDir
from two_tower.cli import app, main
from two_tower.errors import ExitCode

COMMAND = "from two_tower.cli import main; main()"
SECRET = "s3cretpw"
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@dataclass
class Done:
    returncode: Any
    stdout: str
    stderr: str


@dataclass
class Shell:
    """Runs ``two-tower`` in this process, on an empty DuckDB project below ``folder``."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, **environment: str) -> Done:
        with self.monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["two-tower", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err, err
        assert SECRET not in out + err
        return Done(ended.value.code or 0, out, err)


@pytest.fixture
def two_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    places = {
        "PROJECT_DIR": PROJECT_DIR,
        "TARGET": "duckdb",
        "DUCKDB_PATH": tmp_path / "warehouse.duckdb",
        "DATA_DIR": tmp_path / "raw",
        "RUNS_DIR": tmp_path / "runs",
        "REGISTRY_URL": tmp_path / "artifacts",
    }
    for name, value in places.items():
        monkeypatch.setenv(f"TWO_TOWER_{name}", str(value))
    for name in ("PGHOST", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, monkeypatch, capsys)


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for name, command in group.commands.items():
        inside = hasattr(command, "commands")
        found += commands(command, (*path, name)) if inside else [((*path, name), command)]
    return found


COMMANDS = commands(typer.main.get_command(app))
NAMES = [" ".join(path) for path, _ in COMMANDS]


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS]
)
def test_every_command_teaches_with_an_example_of_itself(
    path: tuple[str, ...], command: Any
) -> None:
    help_text = command.help or ""

    assert f"two-tower {' '.join(path)}" in help_text.partition("Example: ")[2]


def test_the_commands_are_those_that_were_promised() -> None:
    assert set(NAMES) == {
        *("init", "sample-data", "import", "load", "train", "evaluate", "compare", "export"),
        *("embed", "release", "releases", "refresh", "rollback", "forget-user", "run"),
        *("recommend", "similar", "status", "dbt"),
        *("db start", "db stop", "db url"),
    }


def test_help_loads_no_driver_and_no_torch() -> None:
    heavy = "{'torch', 'numpy', 'pyarrow', 'duckdb', 'psycopg', 'pydantic'}"
    script = f"import sys, two_tower.cli; print(sorted({heavy} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("recommend",),
        ("--target", "mysql", "status"),
        ("recommend", "u", "-k", "0"),
        ("evaluate", "--protocol", "future"),
        ("evaluate", "--split-seed", "a"),
        ("evaluate", "--protocol", "random", "--version", "20260101_000000"),
    ],
)
def test_wrong_arguments_exit_2(two_tower: Shell, arguments: tuple[str, ...]) -> None:
    assert two_tower(*arguments).returncode == ExitCode.USAGE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWO_TOWER_THREADS", "zero"),
        ("TWO_TOWER_THREADS", "0"),
        ("TWO_TOWER_TARGET", "mysql"),
        ("TWO_TOWER_SCHEMA", "two_tower; drop schema public"),
        ("TWO_TOWER_TRAIN__EPOCHS", "many"),
        ("TWO_TOWER_REGISTRY_OPTIONS", '{"secret": "' + SECRET),
        ("DATABASE_URL", SECRET),
        ("DATABASE_URL", f"postgresql://user:with@{SECRET}@127.0.0.1:9/x"),
        ("DATABASE_URL", f"postgresql://user:12/{SECRET}@127.0.0.1:9/x"),
        ("DATABASE_URL", f"postgresql://user:{SECRET}%zz@127.0.0.1:9/x"),
        ("DATABASE_URL", f"postgresql://user:a/{SECRET}@127.0.0.1:9/x"),
    ],
)
def test_a_bad_setting_is_named_and_its_value_kept_quiet(
    two_tower: Shell, name: str, value: str
) -> None:
    target = {"TWO_TOWER_TARGET": "postgres"} if name == "DATABASE_URL" else {}

    done = two_tower("status", "--json", **target, **{name: value})

    assert done.returncode == ExitCode.BAD_INPUT
    assert name in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{SECRET}@127.0.0.1:9/app",
        f"host=127.0.0.1 port=9 user=user password={SECRET} dbname=app",
    ],
)
@pytest.mark.parametrize("arguments", [("status",), ("load", "--json"), ("recommend", "u")])
def test_a_database_that_does_not_answer_exits_4_without_its_password(
    two_tower: Shell, url: str, arguments: tuple[str, ...]
) -> None:
    done = two_tower(*arguments, TWO_TOWER_TARGET="postgres", DATABASE_URL=url)

    assert done.returncode == ExitCode.UNAVAILABLE
    assert "127.0.0.1/app" in done.stderr
    assert done.stdout == ""


def test_a_database_that_refuses_exits_3_without_its_password(
    two_tower: Shell, postgres_dsn: str
) -> None:
    url = postgres_dsn.replace("postgres:@/postgres", f"nobody:{SECRET}@/postgres")

    done = two_tower("load", "--json", TWO_TOWER_TARGET="postgres", DATABASE_URL=url)

    assert done.returncode == ExitCode.BAD_INPUT
    assert "refuses the connection" in done.stderr
    assert "nobody" in done.stderr
    assert done.stdout == ""


def test_postgres_without_an_address_says_what_to_set(two_tower: Shell) -> None:
    done = two_tower("status", TWO_TOWER_TARGET="postgres", DATABASE_URL="")

    assert done.returncode == ExitCode.BAD_INPUT
    assert "DATABASE_URL" in done.stderr


def test_a_missing_column_names_the_file_and_the_columns(
    two_tower: Shell, make_data_dir: MakeDataDir
) -> None:
    make_data_dir(reviews={"dmm_reviews_9.csv": "product_url,points\nhttps://e/1,5\n"})

    done = two_tower("load")

    assert done.returncode == ExitCode.BAD_INPUT
    for named in ("dmm_reviews_9.csv", "reviewer_id", "stars", "points"):
        assert named in done.stderr


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (("train",), "dbt build"),
        (("evaluate",), "two-tower train"),
        (("export",), "two-tower train"),
        (("embed",), "two-tower export"),
        (("release",), "two-tower embed"),
        (("rollback",), "second release"),
        (("recommend", "somebody"), "dbt build"),
        (("similar", UUID), "dbt build"),
    ],
)
def test_a_step_before_its_time_says_which_comes_first(
    two_tower: Shell, arguments: tuple[str, ...], mend: str
) -> None:
    done = two_tower(*arguments, "--json")

    assert done.returncode == ExitCode.NOT_ENOUGH_DATA
    assert mend in done.stderr
    assert done.stdout == ""


def test_runs_that_were_not_evaluated_cannot_be_compared(two_tower: Shell) -> None:
    done = two_tower("compare", "temporal/20260101_000000", "temporal/20260102_000000", "--json")

    assert done.returncode == ExitCode.BAD_INPUT
    assert "two-tower evaluate" in done.stderr
    assert done.stdout == ""


def test_json_is_all_that_stands_on_stdout(two_tower: Shell, make_data_dir: MakeDataDir) -> None:
    make_data_dir()

    loaded = json.loads(two_tower("load", "--json").stdout)
    status = json.loads(two_tower("status", "--json").stdout)

    assert (loaded["rows_read"], loaded["rows_loaded"], loaded["rows_rejected"]) == (3, 3, 0)
    assert (status["review_files"], status["reviews"], status["rejected_reviews"]) == (1, 3, 0)
    assert status["serving_version"] is None
    assert status["metrics"] == {}


@pytest.mark.parametrize("target", ["duckdb", "embedded"])
def test_looking_at_an_empty_project_makes_nothing(two_tower: Shell, target: str) -> None:
    postgres = str(two_tower.folder / "pg")

    done = two_tower("status", TWO_TOWER_TARGET=target, TWO_TOWER_POSTGRES_DIR=postgres)

    assert done.returncode == ExitCode.OK
    assert "None" not in done.stdout
    assert list(two_tower.folder.iterdir()) == []


def test_ctrl_c_leaves_nothing_half_made(two_tower: Shell) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "sample-data", "--reviews", "2000000"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that was put in the background hands down that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not files_below(two_tower.folder):
        time.sleep(0.05)
    begun = files_below(two_tower.folder)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert begun, "it was over or had not begun"
    assert process.returncode == 130
    assert "Traceback" not in err
    assert out == ""
    assert files_below(two_tower.folder) == []


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
