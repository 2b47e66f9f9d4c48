"""dbt as a subprocess: in-process it would hold DuckDB open and keep its memory."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from two_tower import dbt_profile
from two_tower import warehouse as databases
from two_tower.errors import (
    BuildError,
    DataError,
    FullError,
    GateError,
    InputError,
    TwoTowerError,
    UnavailableError,
)
from two_tower.settings import Settings, Target

# Kind, status and name of what dbt ran.
Node = tuple[str, str, str]

# Runs a command that does not outlive this process: what an orphan of a killed run went on to write
# would meet the next one. Linux has the call; elsewhere the database's own locks remain.
DIES_WITH_US = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""

# dbt shows what the database said and not its SQLSTATE; see retries.SQLSTATES.
GONE = re.compile(
    r".*(server closed the connection unexpectedly|terminating connection due to"
    r"|connection to server .* failed|could not connect to server|connection already closed"
    r"|the database system is|too many clients|remaining connection slots"
    r"|could not serialize access|deadlock detected|due to lock timeout"
    r"|a long transaction holds|Could not set lock on file).*"
)
# Of the smoke test of a release.
NO_ANSWER = re.compile(r".*would have no answer.*")
FULL = re.compile(r".*No space left on device.*")
# Of the plugin that compares the profile with the settings.
ELSEWHERE = re.compile(r".*does not lead to the project's database.*")


@dataclass(frozen=True)
class Built:
    """What a dbt command did: models built, tests passed, tests that only warn."""

    models: int
    tests_passed: int
    warnings: int


def run(settings: Settings, *arguments: str) -> Built:
    """Run ``dbt ARGUMENTS`` in the project; what it warns of and what fails is on stderr.

    Raises:
        InputError: there is no profiles.yml.
        DataError: a test refused the rows.
        GateError: the app would have had no answer of what was to be released.
        BuildError: dbt could not build a model, or not begin.
    """
    command = [_program(settings), "--quiet", *arguments]
    env = dbt_profile.environment(settings) | {"PYTHONIOENCODING": "utf-8:replace"}
    started = time.time()
    code, printed = _shown(command, env, settings.project_dir)
    nodes = _nodes(settings.project_dir / _target_path(arguments, env), started)
    if code != 0:
        raise _failure(arguments, code, printed, nodes)
    return _built([(kind, status) for kind, status, _ in nodes])


def hand_over(settings: Settings, arguments: list[str]) -> None:
    """Become ``dbt ARGUMENTS``, in the project's environment.

    Raises:
        InputError: there is no profiles.yml, or the target has no database.
    """
    program = _program(settings)
    env = dbt_profile.environment(settings.model_copy(update=_target(arguments)))
    os.execve(program, [program, *arguments], env)


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
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stderr.write(line)
            end.append(line)
    return process.returncode, "".join(end)


def _failure(
    arguments: tuple[str, ...], code: int, printed: str, nodes: list[Node]
) -> TwoTowerError:
    """Return the error for what went wrong: a test that refused, a server that went, or a model."""
    command, hint = f"`dbt {' '.join(arguments)}`", "logs/dbt.log has the whole story"
    refused = [name for kind, status, name in nodes if (kind, status) == ("test", "fail")]
    if refused and not any(status == "error" for _, status, _ in nodes):
        return DataError(
            f"{command}: the data was refused by {', '.join(refused)}",
            f"its output above says how many rows each found; {hint}",
        )
    kinds: tuple[tuple[re.Pattern[str], type[TwoTowerError]], ...] = (
        (ELSEWHERE, InputError),
        (NO_ANSWER, GateError),
        (FULL, FullError),
        (GONE, UnavailableError),
    )
    for pattern, kind in kinds:
        found = pattern.search(printed)
        if found and not databases.REFUSED.search(printed):
            return kind(f"{command} failed: {found[0].strip()}", hint)
    return BuildError(
        f"{command} failed (exit code {code})", f"its output above names the model; {hint}"
    )


def _target_path(arguments: tuple[str, ...], env: dict[str, str]) -> str:
    if "--target-path" in arguments:
        return arguments[arguments.index("--target-path") + 1]
    return env.get("DBT_TARGET_PATH", "target")


def _nodes(target_path: Path, since: float) -> list[Node]:
    """Return kind, status and name of each node of a dbt command that began then."""
    path = target_path / "run_results.json"
    if not path.exists() or path.stat().st_mtime < since:
        return []
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    parts = [(row["unique_id"].split("."), row["status"]) for row in results]
    return [(identity[0], status, identity[2]) for identity, status in parts]


def _built(kinds: list[tuple[str, str]]) -> Built:
    return Built(
        models=kinds.count(("model", "success")),
        tests_passed=kinds.count(("test", "pass")) + kinds.count(("unit_test", "pass")),
        warnings=kinds.count(("test", "warn")),
    )
