"""`two-tower run` the whole way on DuckDB, as a user starts it; then what an app would ask."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT_DIR
from forked import Ended, Forks
from two_tower.operations.pipeline import STEPS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

REVIEWS = 3_000


@dataclass
class Shell:
    """Runs `two-tower ARGUMENTS --json` with data, DuckDB file and registry in one folder."""

    folder: Path
    forks: Forks
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        places = {
            "DUCKDB_PATH": self.folder / "warehouse.duckdb",
            "DATA_DIR": self.folder / "raw",
            "RUNS_DIR": self.folder / "runs",
            "REGISTRY_URL": self.folder / "artifacts",
            "PROJECT_DIR": PROJECT_DIR,
            "TARGET": "duckdb",
            "TRAIN__EPOCHS": 12,
        }
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            **{f"TWO_TOWER_{name}": str(value) for name, value in places.items()},
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
        }

    def __call__(self, *arguments: str, **settings: str) -> Any:
        done = self.end(*arguments, **settings)
        assert done.returncode == 0, f"two-tower {' '.join(arguments)}:\n{done.stderr[-4000:]}"
        return json.loads(done.stdout)

    def end(self, *arguments: str, **settings: str) -> Ended:
        """Run it to its end, whatever that is."""
        return self.forks.end(
            ["two-tower", *arguments, "--json"],
            {**self.environment, **settings},
            self.folder,  # away from the developer's .env
        )


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Shell:
    return Shell(tmp_path_factory.mktemp("pipeline"), forks)


@pytest.fixture(scope="module")
def first_run(shell: Shell) -> dict[str, Any]:
    shell("sample-data", "--reviews", str(REVIEWS))
    summaries: dict[str, Any] = shell("run")
    return summaries


def test_every_step_hands_its_version_on(first_run: dict[str, Any]) -> None:
    assert list(first_run) == [step.name for step in STEPS]
    version = first_run["train"]["version"]
    assert [first_run[name]["version"] for name in ("export", "embed", "release")] == [version] * 3
    assert first_run["release"]["swapped"]
    assert first_run["release"]["users"] == first_run["embed"]["users"] > 0
    assert first_run["release"]["videos"] == first_run["embed"]["videos"] > 0


def reviewer(shell: Shell) -> str:
    path = sorted((shell.folder / "raw" / "reviews").glob("*.csv"))[0]
    lines = path.read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("reviewer_id")
    return lines[1].split(",")[column]


def test_known_and_unknown_users_and_videos_get_titled_answers(
    shell: Shell, first_run: dict[str, Any]
) -> None:
    known = shell("recommend", reviewer(shell), "-k", "5")
    unknown = shell("recommend", "nobody", "-k", "5")
    similar = shell("similar", known[0]["video_id"], "-k", "5")
    for rows in (known, unknown, similar):
        assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
        scores = [row["score"] for row in rows]
        assert scores == sorted(scores, reverse=True)
        assert len({row["video_id"] for row in rows}) == 5
        assert all(row["title"] for row in rows)
    assert known[0]["video_id"] not in {row["video_id"] for row in similar}
    assert [row["video_id"] for row in known] != [row["video_id"] for row in unknown]


def test_a_run_begins_with_the_first_step_whose_outputs_are_not_there(
    shell: Shell, first_run: dict[str, Any]
) -> None:
    def done_again() -> list[str]:
        return [name for name, summary in shell("run").items() if not summary.get("reused")]

    always = ["load", "train", "release"]  # which compare content themselves
    assert done_again() == always
    (shell.folder / "artifacts/models/two_tower_latest.onnx").unlink()
    assert done_again() == ["load", "train", "export", "release"]
    (Path(first_run["evaluate"]["report"])).unlink()
    assert done_again() == ["load", "train", "evaluate", "release"]
    # A dbt command typed by hand: what it built is not known.
    settings = {
        **shell.environment,
        "TWO_TOWER_DUCKDB_PATH": str(shell.folder / "warehouse.duckdb"),
    }
    dbt = ["dbt", "run", "--select", "users", "--target", "duckdb"]
    assert shell.forks.end(dbt, settings, PROJECT_DIR).returncode == 0
    assert done_again() == [step.name for step in STEPS]
    assert done_again() == always


def test_a_second_run_does_nothing_twice_and_another_model_can_be_rolled_back(
    shell: Shell, first_run: dict[str, Any]
) -> None:
    again = shell("run")
    assert again["load"]["rows_loaded"] == 0
    reused = [name for name, summary in again.items() if summary.get("reused")]
    assert reused == ["build", "evaluate", "export", "embed"]
    assert again["train"]["version"] == first_run["train"]["version"]
    assert not again["release"]["swapped"]

    second = shell("run", TWO_TOWER_TRAIN__SEED="1")
    reused = [name for name, summary in second.items() if summary.get("reused")]
    assert reused == ["build"]
    assert second["release"]["swapped"]
    assert second["release"]["release_id"] == first_run["release"]["release_id"] + 1
    assert second["release"]["videos"] == first_run["release"]["videos"]

    done = shell("rollback")

    versions = (second["release"]["version"], first_run["release"]["version"])
    assert (done["version_from"], done["version_to"]) == versions
    latest = json.loads((shell.folder / "artifacts/models/two_tower_latest.json").read_text())
    assert latest["version"] == first_run["release"]["version"]
    assert len(shell("recommend", reviewer(shell), "-k", "5")) == 5

    refused = shell.end("run", TWO_TOWER_TRAIN__SEED="1")  # the same data: the same model again

    assert refused.returncode == 5
    assert "withdrawn is 1" in refused.stderr
    assert shell("status")["serving_version"] == first_run["release"]["version"]
    forward = shell("rollback", second["release"]["version"])
    assert forward["version_to"] == second["release"]["version"]
