"""Every benchmark runs, at a size that says nothing but that, in a project's copy.

Some are processes as they are typed, and so is what they start; the others are forks (`forked`).
The figures of the repository stay as they are: a benchmark writes beside its own code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import browser
from conftest import PROJECT_DIR
from faults.world import copy_project
from forked import Forks
from two_tower.data.sample_data import generate

pytestmark = pytest.mark.slow

# The whole way is walked by most of them, and training is no part of what is asked here.
QUICK = {
    "TWO_TOWER_TRAIN__EPOCHS": "1",
    "TWO_TOWER_TRAIN__STEPS": "1",
    # Of small matrices a second thread makes nothing faster, and keeps a core from other tests.
    "OPENBLAS_NUM_THREADS": "1",
    # Of the builds by `two-tower dbt`; a run leaves none of its tests out.
    "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test test",
}
COMMANDS = {
    "ablation": "--dataset small --epochs 1",
    "ceiling": "--reviews 1000 --sweeps 5 --samples 1",
    "novelty": "--dataset small --values 0.1",
    "explorer": "--reviews 1000 --loads 1 --points 2000 --seconds 0.2",
    "features": "--sizes 1000 --postgres 1000 --runs 1",
    "growth": "--reviews 1000 --runs 1",
    "http": "--videos 1500 --users 1500 --seconds 0.1",
    "last_mile": "--sizes 200",
    "quality": "--datasets small --protocols random --seeds 1 --peers",
    "quality.published": "--gowalla baskets --beauty baskets/train.txt",
    "people": "--people 100 --videos 150",
    "rebuild": "--sizes 1000 --engines duckdb --rounds 1",
    "serving": "--videos 1500 --users 1500 --seconds 0.1",
    "scale": "--users 500 --videos 300",
    "stages": "--sizes 1000",
    "training": "--reviews 1000 --rounds 1 --steps 1",
}
PROCESSES = {"http", "rebuild", "serving", "scale"}
NO_COMMANDS = {
    *("__init__", "bare_sql", "comparison", "harness", "markdown", "posterior"),
    *("results_page", "results_speed"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose gate lets every model by and whose benchmarks have no results yet."""
    folder = copy_project(tmp_path_factory.mktemp("benchmarks") / "project")
    shutil.copytree(
        PROJECT_DIR / "benchmarks",
        folder / "benchmarks",
        ignore=shutil.ignore_patterns("results", "__pycache__"),
    )
    generate(folder / "small", reviews=1_000, videos=150)
    write_baskets(folder / "baskets")
    return folder


def write_baskets(folder: Path) -> None:
    """Write a split as it is published: a user and their videos a line."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    baskets = [rng.permutation(60)[:12] for _ in range(100)]
    for name, part in (("train", slice(9)), ("test", slice(9, None))):
        lines = (f"{user} {' '.join(map(str, each[part]))}" for user, each in enumerate(baskets))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_each_benchmark_has_a_size_here() -> None:
    folder = PROJECT_DIR / "benchmarks"
    names = {path.stem for path in folder.glob("*.py")} - NO_COMMANDS
    assert names | {"quality", "quality.published"} == set(COMMANDS)


def test_make_runs_each_benchmark_by_its_name() -> None:
    """But for one that needs to be told where its data are."""
    for name in COMMANDS.keys() - {"quality.published"}:
        new = "--what-if=benchmarks/quality/requirements.txt"
        command = ["make", "--dry-run", "--no-print-directory", new, f"bench-{name}"]
        done = as_typed(command, {**os.environ}, PROJECT_DIR)
        assert done.stdout.splitlines()[-1] == f".venv/bin/python -m benchmarks.{name}", done.stderr
        is_beside_libraries = name in {"quality", "training"}
        assert (".venv-peers/bin/pip" in done.stdout) == is_beside_libraries


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_runs_and_leaves_its_figures(project: Path, name: str, forks: Forks) -> None:
    if name == "explorer" and browser.PROGRAM is None:
        pytest.skip("chromium is not installed")
    outside = {k: v for k, v in os.environ.items() if not k.startswith("TWO_TOWER_")}
    command = [sys.executable, "-m", f"benchmarks.{name}", *COMMANDS[name].split()]

    run = as_typed if name in PROCESSES else forks.end
    done = run(command, {**outside, **QUICK}, project)

    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    result = project / "benchmarks/results" / f"{name.rsplit('.')[-1]}.json"
    assert json.loads(result.read_text(encoding="utf-8"))


def as_typed(command: list[str], environment: dict[str, str], folder: Path) -> Any:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
