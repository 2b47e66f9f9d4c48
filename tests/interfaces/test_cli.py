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
from two_tower import __version__ as two_tower_version
from two_tower.core.errors import ExitCode
from two_tower.interfaces.cli import app, main
from two_tower.operations import health, pipeline

COMMAND = "from two_tower.interfaces.cli import main; main()"
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

    def __call__(self, *arguments: str, is_defect: bool = False, **environment: str) -> Done:
        with self.monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["two-tower", *arguments])
            patch.setattr(sys, "stderr", sys.stderr)  # which a log in JSON wraps
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self.capsys.readouterr()
        assert is_defect or "Traceback" not in err, err
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


def told(done: Done) -> dict[str, Any]:
    """The object that `--json` puts on stdout of a command that failed."""
    error: dict[str, Any] = json.loads(done.stdout).pop("error")
    assert error["exit_code"] == done.returncode
    return error


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
        *("recommend", "similar", "serve", "status", "doctor", "grants", "alerts", "dbt"),
        *("db start", "db stop", "db url"),
    }


def test_the_version_is_the_one_of_the_package(two_tower: Shell) -> None:
    assert two_tower("--version").stdout == f"two-tower {two_tower_version}\n"


HEAVY = {"torch", "numpy", "pyarrow", "duckdb", "dbt", "fsspec", "yaml", "filelock"}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (("--help",), HEAVY | {"psycopg", "pydantic", "rich", "asyncio"}),
        (("recommend", "u"), HEAVY),
    ],
)
def test_a_command_loads_only_what_it_needs(
    arguments: tuple[str, ...], heavy: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWO_TOWER_TARGET", "postgres")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    script = f"import atexit, sys; atexit.register(lambda: print({heavy} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", f"{script}; {COMMAND}", *arguments], capture_output=True, text=True
    )

    assert done.returncode == (0 if "--help" in arguments else ExitCode.UNAVAILABLE), done.stderr
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_list_of_commands_says_the_whole_first_paragraph(two_tower: Shell) -> None:
    said = " ".join(two_tower("--help").stdout.split())

    for name in ("load", "doctor", "forget-user"):
        first, _, _ = (dict(COMMANDS)[(name,)].help or "").partition("\n\n")
        assert " ".join(first.split()) in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("recommend",),
        ("--target", "mysql", "status"),
        ("recommend", "u", "-k", "0"),
        ("recommend", "u", "--filter", "{maker"),
        ("similar", UUID, "--diversity", "2"),
        ("evaluate", "--protocol", "future"),
        ("evaluate", "--split-seed", "a"),
        ("status", "--check", "--prometheus", "-"),
        ("evaluate", "--protocol", "random", "--version", "20260101_000000"),
    ],
)
def test_wrong_arguments_exit_2(two_tower: Shell, arguments: tuple[str, ...]) -> None:
    assert two_tower(*arguments).returncode == ExitCode.USAGE


JSON_COMMANDS = [
    path for path, command in COMMANDS if any("--json" in option.opts for option in command.params)
]


@pytest.mark.parametrize("path", JSON_COMMANDS, ids=" ".join)
def test_json_is_an_object_also_where_the_arguments_are_wrong(
    two_tower: Shell, path: tuple[str, ...]
) -> None:
    done = two_tower(*path, "--json", "--no-such-option")

    assert done.returncode == ExitCode.USAGE
    assert "--no-such-option" in told(done)["message"]
    assert told(done)["hint"] == f"two-tower {' '.join(path)} --help"


def test_behind_two_dashes_json_is_a_name_like_any_other(two_tower: Shell) -> None:
    done = two_tower("recommend", "--", "--json")

    assert done.returncode == ExitCode.NOT_ENOUGH_DATA
    assert done.stdout == ""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_defect_is_told_without_the_secrets_in_it(
    two_tower: Shell, monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    password, key = f"{SECRET}/w:rd", f"{SECRET}-key"
    url = f"postgresql://app:{SECRET}%2Fw%3Ard@127.0.0.1:9/app"

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError(f"of {url}, {password} and {key}")

    monkeypatch.setattr(pipeline, "run_step", broken)
    done = two_tower(
        *("load", "--json"),
        TWO_TOWER_TARGET="postgres",
        DATABASE_URL=url,
        TWO_TOWER_REGISTRY_OPTIONS=json.dumps({"secret": key}),
        TWO_TOWER_LOG_FORMAT=log_format,
        is_defect=True,
    )

    assert done.returncode == ExitCode.UNEXPECTED
    assert told(done)["message"] == "ZeroDivisionError: of ***, *** and ***"
    assert "in broken" in told(done)["exception"]
    assert "in broken" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (("load",), {"TWO_TOWER_TARGET": "mysql"}, ExitCode.BAD_INPUT),
        (("load", "--nonsense"), {}, ExitCode.USAGE),
        (("train",), {}, ExitCode.NOT_ENOUGH_DATA),
    ],
)
def test_a_log_in_json_holds_the_error_as_its_last_line_and_nothing_but_json(
    two_tower: Shell, arguments: tuple[str, ...], environment: dict[str, str], code: ExitCode
) -> None:
    done = two_tower(*arguments, "--json", TWO_TOWER_LOG_FORMAT="json", **environment)

    *_, last = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == last["exit_code"] == code
    assert last["level"] == "error"
    assert (last["message"], last["hint"]) == (told(done)["message"], told(done)["hint"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWO_TOWER_THREADS", "zero"),
        ("TWO_TOWER_THREADS", "0"),
        ("TWO_TOWER_TARGET", "mysql"),
        ("TWO_TOWER_SCHEMA", "two_tower; drop schema public"),
        ("TWO_TOWER_REVIEW_FILES", "*/reviews.csv"),
        ("TWO_TOWER_REVIEW_FILES", "reviews.csv"),
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
    assert name in told(done)["message"]


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
    assert done.stdout == "" or "127.0.0.1/app" in told(done)["message"]


def test_a_database_that_refuses_exits_3_without_its_password(
    two_tower: Shell, postgres_dsn: str
) -> None:
    url = f"postgresql://nobody:{SECRET}@{postgres_dsn.rpartition('@')[2]}"

    done = two_tower("load", "--json", TWO_TOWER_TARGET="postgres", DATABASE_URL=url)

    assert done.returncode == ExitCode.BAD_INPUT
    assert "refuses the connection" in done.stderr
    assert "nobody" in told(done)["message"]


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
    ("arguments", "fix"),
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
    two_tower: Shell, arguments: tuple[str, ...], fix: str
) -> None:
    done = two_tower(*arguments, "--json")

    assert done.returncode == ExitCode.NOT_ENOUGH_DATA
    assert fix in done.stderr
    assert fix in told(done)["hint"]


def test_a_run_says_what_a_step_warned_of_that_it_need_not_do_again(
    two_tower: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = {"reused": True, "models": 47, "warnings": ["assert_x: 1 row\n  [b] c"], "seconds": 0}
    monkeypatch.setattr(pipeline, "run_step", lambda *_, **__: summary)
    monkeypatch.setattr(pipeline, "run", lambda settings, do, _: do("build", settings, None))
    assert "warning: assert_x: 1 row\n  [b] c\n" in two_tower("run").stderr


def test_sample_data_have_the_names_that_the_setting_says(two_tower: Shell) -> None:
    done = two_tower("sample-data", "--reviews", "400", TWO_TOWER_REVIEW_FILES="ratings-*.csv")
    assert done.returncode == ExitCode.OK
    names = [path.name for path in (two_tower.folder / "raw/reviews").iterdir()]
    assert min(names) == "ratings-sample_0001.csv"
    assert all(name.startswith("ratings-sample_") for name in names)


@pytest.mark.parametrize("command", ["recommend", "forget-user"])
@pytest.mark.parametrize(
    ("typed", "message"), [("\u200b ", "the id is empty"), ("\udcff", "the id is not UTF-8 text")]
)
def test_an_id_that_is_no_id_exits_3(
    two_tower: Shell, command: str, typed: str, message: str
) -> None:
    done = two_tower(command, typed)
    assert done.returncode == ExitCode.BAD_INPUT
    assert message in done.stderr


def test_runs_that_were_not_evaluated_cannot_be_compared(two_tower: Shell) -> None:
    done = two_tower("compare", "temporal/20260101_000000", "temporal/20260102_000000", "--json")

    assert done.returncode == ExitCode.BAD_INPUT
    assert "two-tower evaluate" in told(done)["hint"]


def test_json_is_all_that_stands_on_stdout(two_tower: Shell, make_data_dir: MakeDataDir) -> None:
    make_data_dir()

    loaded = json.loads(two_tower("load", "--json").stdout)
    status = json.loads(two_tower("status", "--json").stdout)

    assert (loaded["rows_read"], loaded["rows_loaded"], loaded["rows_rejected"]) == (3, 3, 0)
    assert (status["review_files"], status["reviews"], status["rejected_reviews"]) == (1, 3, 0)
    assert status["serving_version"] is None
    assert status["metrics"] == {}


def test_a_check_of_an_empty_project_is_critical_and_says_why(two_tower: Shell) -> None:
    done = two_tower("status", "--check")
    found = json.loads(two_tower("status", "--check", "--json").stdout)

    assert done.returncode == ExitCode.CRITICAL
    assert done.stdout.startswith("two-tower CRITICAL: answer, release, run\n")
    assert found["state"] == "critical"
    assert found["checks"][0]["message"] == "recommend_videos has no answer"


def test_thresholds_of_a_check_are_settings(two_tower: Shell) -> None:
    bad = two_tower("status", "--check", TWO_TOWER_MONITOR__RUN_AGE_DAYS="soon")

    assert bad.returncode == ExitCode.BAD_INPUT
    assert "TWO_TOWER_MONITOR" in bad.stderr


def test_metrics_of_a_project_that_cannot_be_read_say_that_it_is_down(
    two_tower: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was raised: the file of before would still say that all is well."""
    file = two_tower.folder / "two_tower.prom"
    two_tower("status", "--prometheus", str(file))
    monkeypatch.setattr(health, "_latest", lambda settings: 1 / 0)

    done = two_tower("status", "--prometheus", str(file), is_defect=True)

    assert done.returncode == ExitCode.UNEXPECTED
    assert "two_tower_up 0.0" in file.read_text()


def test_metrics_of_a_database_that_is_away_say_that_it_is_down(two_tower: Shell) -> None:
    file = two_tower.folder / "two_tower.prom"
    two_tower("status", "--prometheus", str(file))
    assert "two_tower_up 1.0" in file.read_text()

    url = "postgresql://app@127.0.0.1:9/app"
    away = {"TWO_TOWER_TARGET": "postgres", "DATABASE_URL": url}
    done = two_tower("status", "--prometheus", str(file), **away)

    assert done.returncode == ExitCode.UNAVAILABLE
    assert "two_tower_up 0.0" in file.read_text()


@pytest.mark.parametrize("target", ["duckdb", "embedded"])
def test_looking_at_an_empty_project_makes_nothing(two_tower: Shell, target: str) -> None:
    postgres = str(two_tower.folder / "pg")

    for option in ((), ("--check",), ("--prometheus", "-")):
        done = two_tower(
            "status", *option, TWO_TOWER_TARGET=target, TWO_TOWER_POSTGRES_DIR=postgres
        )
        assert done.returncode == (ExitCode.CRITICAL if option == ("--check",) else ExitCode.OK)
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
