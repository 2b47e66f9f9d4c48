"""dbt as a subprocess: in-process it would hold DuckDB open and keep its memory."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter, deque
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

SHOWN_ROWS = 3  # of what a test found
# What is said of a test is kept (two_tower.finished_steps): it names nobody.
NAMES_SOMEBODY = ("user_id", "case_id", "reviewer_id")

# Runs a command that does not outlive this process: what an orphan of a killed run went on to write
# would meet the next one. Linux has the call; elsewhere the database's own locks remain.
DIES_WITH_US = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""

# dbt reads its flags from the environment too, where a shell may have them for another project. A
# run goes by none that builds other rows (DBT_EMPTY: none at all), leaves tests out, makes errors
# of warnings or writes no results; the target is a setting of ours.
PLACES = ("TARGET", "PROFILE")
WHAT_IS_DONE = (
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

# Of the smoke test of a release.
NO_ANSWER = re.compile(r".*would have no answer.*")
# Of the macros that read the vars of the grants.
SETTING = re.compile(r".*var (?:serving_roles(?: is |:| names .* no role of)|own_vectors needs).*")
# Of the plugin that compares the profile with the settings.
ELSEWHERE = re.compile(r".*does not lead to the project's database.*")


@dataclass(frozen=True)
class Built:
    """What a dbt command did."""

    models: int
    tests_passed: int
    warnings: tuple[str, ...]
    """Of each test that only warns: its name, how many rows it found, and the first of them."""


def run(settings: Settings, *arguments: str) -> Built:
    """Run ``dbt ARGUMENTS`` in the project; what it warns of and what fails is on stderr.

    Raises:
        InputError: there is no profiles.yml.
        DataError: a test refused the rows.
        GateError: the app would have had no answer of what was to be released.
        BuildError: dbt could not build a model, or not begin.
    """
    command = [_program(settings), "--quiet", *arguments]
    env = _without(dbt_profile.environment(settings), (*PLACES, *WHAT_IS_DONE))
    env["PYTHONIOENCODING"] = "utf-8:replace"
    started = time.time()
    code, printed = _shown(command, env, settings.project_dir)
    results = _results(settings.project_dir / _target_path(arguments, env), started)
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


def hand_over(settings: Settings, arguments: list[str]) -> None:
    """Become ``dbt ARGUMENTS``, in the project's environment.

    Raises:
        InputError: there is no profiles.yml, or the target has no database.
    """
    program = _program(settings)
    env = dbt_profile.environment(settings.model_copy(update=_target(arguments)))
    # The other flags are the person's who types.
    env = _without(env, PLACES)
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
    """Return the setting that dbt's own ``--target`` stands for."""
    found = re.search(r"(?:^|\0)(?:--target|-t)[\0=]([^\0]+)", "\0".join(arguments))
    return {"target": found[1]} if found and found[1] in get_args(Target) else {}


def _shown(command: list[str], env: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run a command, its output on our stderr; return its exit code and the end of its output."""
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
    """Return the error for what went wrong: a test that refused, what a server said, or a model."""
    nodes = [_node(result) for result in results]
    command, hint = f"`dbt {' '.join(arguments)}`", "logs/dbt.log has the whole story"
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


def _target_path(arguments: tuple[str, ...], env: dict[str, str]) -> str:
    if "--target-path" in arguments:
        return arguments[arguments.index("--target-path") + 1]
    return env.get("DBT_TARGET_PATH", "target")


def _results(target_path: Path, since: float) -> list[dict[str, Any]]:
    """Return what became of each node of a dbt command that began then."""
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
    """Return what each test of this status found."""
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
    except (psycopg.Error, duckdb.Error):  # what it read is gone: how many there were is known
        return []


def _described(result: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    lines = [f"{_node(result)[2]}: {result['failures']:,} row{'s' * (result['failures'] != 1)}"]
    for row in rows:
        shown = (f"{k} {v}"[:200] for k, v in row.items() if k not in NAMES_SOMEBODY)
        lines.append("  " + ", ".join(shown))
    return "\n".join(lines)
