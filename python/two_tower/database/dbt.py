"""dbt as a subprocess: in this process it would keep the DuckDB file open, and its memory."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import duckdb
import psycopg

from two_tower.core import progress
from two_tower.core.errors import BuildError, DataError, GateError, InputError, TwoTowerError
from two_tower.core.settings import Settings, Target
from two_tower.database import database_errors, dbt_profile
from two_tower.database import warehouse as databases

SHOWN_ROWS = 3  # rows printed of what a test found
# Columns left out of what is printed: it is stored in two_tower.finished_steps, and must not name
# people.
NAMES_SOMEBODY = ("user_id", "case_id", "reviewer_id")

# Runs a command that dies with this process: the dbt of a killed run must not write beside the next
# run. Only Linux has the call; elsewhere the database's locks remain.
DIES_WITH_US = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""

# dbt also reads flags from the environment, where they may be meant for another project. A run
# ignores those that would change the rows (DBT_EMPTY builds none), skip tests, turn warnings into
# errors or write no results; TWO_TOWER_TARGET names the target.
TARGET_FLAGS = ("TARGET", "PROFILE")
RUN_FLAGS = (
    "ARTIFACT_STATE_PATH",
    "DEFER",
    "DEFER_STATE",
    "DEFER_TO_STATE",
    "EMPTY",
    "EVENT_TIME_END",
    "EVENT_TIME_START",
    "EXCLUDE_RESOURCE_TYPES",
    "FAIL_FAST",
    "FAVOR_STATE",
    "FAVOR_STATE_MODE",
    "FULL_REFRESH",
    "INDIRECT_SELECTION",
    "INTROSPECT",
    "RESOURCE_TYPES",
    "SAMPLE",
    "STATE",
    "STORE_FAILURES",
    "WARN_ERROR",
    "WARN_ERROR_OPTIONS",
    "WRITE_JSON",
)

# Raised by the smoke test of a release.
NO_ANSWER = re.compile(r".*would have no answer.*")
# Raised by the macros that read vars; a role that is passed over is a warning.
SETTING = re.compile(r".*var \w+(?: is |: | names | needs )(?!.*passed over).*")
# Raised by the plugin that compares the profile with the settings.
ELSEWHERE = re.compile(r".*does not lead to the project's database.*")


@dataclass(frozen=True)
class Built:
    """The result of a dbt command."""

    models: int
    tests_passed: int
    warnings: tuple[str, ...]
    """For each test that warned: its name, the number of rows it found, and the first rows."""


def run(settings: Settings, *arguments: str) -> Built:
    """Run ``dbt ARGUMENTS`` in the project; warnings and failures are printed on stderr.

    Raises:
        InputError: there is no profiles.yml.
        DataError: a data test failed.
        GateError: the release would have left the app without an answer.
        BuildError: dbt could not start, or could not build a model.
    """
    command = [_program(settings), "--quiet", *arguments]
    env = _without(dbt_profile.environment(settings), (*TARGET_FLAGS, *RUN_FLAGS))
    env["PYTHONIOENCODING"] = "utf-8:replace"
    started = time.time()
    code, printed = _shown(command, env, settings.project_dir)
    results = _results(settings.project_dir / _written_to(arguments, env), started)
    warnings = _found(settings, results, "warn")
    for text in (*warnings, *_found(settings, results, "fail")):
        progress.warn(text)
    if code != 0:
        raise _failure(arguments, code, printed, results)
    statuses = Counter((kind, status) for kind, status, _ in map(_node, results))
    return Built(
        models=statuses["model", "success"],
        tests_passed=statuses["test", "pass"] + statuses["unit_test", "pass"],
        warnings=warnings,
    )


def variables(settings: Settings, **given: Any) -> tuple[str, ...]:
    """Return the argument ``--vars`` with the setting ``as_of`` and what is given; empty: none.

    Every command of a run has the setting: where the vars are others than at the command before,
    dbt parses the whole project again, in more time than the models of a release take.
    """
    if settings.as_of is not None:
        given["as_of"] = settings.as_of.isoformat()
    return ("--vars", json.dumps(given)) if given else ()


def hand_over(settings: Settings, arguments: list[str]) -> None:
    """Replace this process by ``dbt ARGUMENTS``, in the project's environment.

    Raises:
        InputError: there is no profiles.yml, or the target has no database.
    """
    program = _program(settings)
    env = dbt_profile.environment(settings.model_copy(update=_target(arguments)))
    # The other flags were set by the person who types.
    env = _without(env, TARGET_FLAGS)
    os.execve(program, [program, *arguments], env)


def _without(env: dict[str, str], flags: tuple[str, ...]) -> dict[str, str]:
    """Return an environment that lacks these flags of dbt."""
    names = {f"{prefix}_{flag}" for prefix in ("DBT", "DBT_ENGINE") for flag in flags}
    return {name: value for name, value in env.items() if name not in names}


def _program(settings: Settings) -> str:
    if not (settings.project_dir / "profiles.yml").exists():
        raise InputError(
            f"{settings.project_dir / 'profiles.yml'} does not exist", "run two-tower init"
        )
    beside = Path(sys.executable).parent / "dbt"
    return str(beside) if beside.exists() else shutil.which("dbt") or "dbt"


def _target(arguments: list[str]) -> dict[str, str]:
    """Return the setting that corresponds to dbt's ``--target``."""
    found = re.search(r"(?:^|\0)(?:--target|-t)[\0=]([^\0]+)", "\0".join(arguments))
    return {"target": found[1]} if found and found[1] in get_args(Target) else {}


def _shown(command: list[str], env: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run a command with its output on stderr; return its exit code and its last 1,000 lines."""
    end: deque[str] = deque(maxlen=1000)
    with subprocess.Popen(
        [sys.executable, "-c", DIES_WITH_US, *command],
        env=env,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # where the log is JSON, its lines are records like any other
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stderr.write(line)
            end.append(line)
    return process.returncode, "".join(end)


def _failure(
    arguments: tuple[str, ...], code: int, printed: str, results: list[dict[str, Any]]
) -> TwoTowerError:
    """Return the error of a failed command: of a data test, of the server, or of a model."""
    nodes = [_node(result) for result in results]
    command, hint = f"`dbt {' '.join(arguments)}`", "logs/dbt.log has the details"
    refused = [name for kind, status, name in nodes if (kind, status) == ("test", "fail")]
    if refused and not any(status == "error" for _, status, _ in nodes):
        return DataError(
            f"{command}: the data was refused by {', '.join(refused)}",
            f"its output above says how many rows each found; {hint}",
        )
    for pattern, kind in ((ELSEWHERE, InputError), (SETTING, InputError), (NO_ANSWER, GateError)):
        line = pattern.search(printed)
        if line:
            return kind(f"{command} failed: {line[0].strip()}", hint)
    found = database_errors.shown_by_dbt(printed)
    if found:
        cause, shown = found
        return cause.error(shown, f"{command} failed")
    return BuildError(
        f"{command} failed (exit code {code})", f"its output above names the model; {hint}"
    )


def target_path(env: Mapping[str, str]) -> str:
    """Return the folder dbt writes to in this environment; like dbt, the newer name wins."""
    return env.get("DBT_ENGINE_TARGET_PATH") or env.get("DBT_TARGET_PATH") or "target"


def _written_to(arguments: tuple[str, ...], env: Mapping[str, str]) -> str:
    if "--target-path" in arguments:
        return arguments[arguments.index("--target-path") + 1]
    return target_path(env)


def _results(target_path: Path, since: float) -> list[dict[str, Any]]:
    """Return the result of each node, of a command that began at ``since``."""
    path = target_path / "run_results.json"
    if not path.exists() or path.stat().st_mtime < since:
        return []
    results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return results


def _node(result: dict[str, Any]) -> tuple[str, str, str]:
    """Return kind, status and name of a node."""
    kind, _, name = result["unique_id"].split(".")[:3]
    return kind, result["status"], name


def _found(settings: Settings, results: list[dict[str, Any]], status: str) -> tuple[str, ...]:
    """Return a description of each test that ended with this status."""
    tests = [row for row in results if _node(row)[:2] == ("test", status)]
    if not tests:
        return ()
    try:
        with databases.open_warehouse(settings) as warehouse:
            return tuple(_described(row, _first_rows(warehouse, row)) for row in tests)
    except TwoTowerError:
        return tuple(_described(row, []) for row in tests)


def _first_rows(warehouse: databases.Warehouse, result: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        return warehouse.fetch(
            f"select * from (\n{result['compiled_code']}\n) as found limit {SHOWN_ROWS}"
        )
    except (psycopg.Error, duckdb.Error):  # a table it reads is gone; the count is known
        return []


def _described(result: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    lines = [f"{_node(result)[2]}: {result['failures']:,} row{'s' * (result['failures'] != 1)}"]
    for row in rows:
        shown = (f"{k} {v}"[:200] for k, v in row.items() if k not in NAMES_SOMEBODY)
        lines.append("  " + ", ".join(shown))
    return "\n".join(lines)
