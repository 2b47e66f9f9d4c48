"""The weekly run on a real Prefect server: deployed, picked up by a worker, and looked at."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import PROJECT_DIR, make_settings
from flows.prefect_server import TERMINAL, PrefectServer, running_server
from two_tower import embedded, sample_data
from two_tower.pipeline import STEPS

DEPLOYMENT = "weekly-two-tower/weekly-two-tower"
PROJECT_FILES = ("dbt_project.yml", "selectors.yml", "prefect.yaml", "profiles.yml.example")
PROJECT_FOLDERS = ("flows", "macros", "models", "tests/dbt")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prefect")]


@dataclass
class Deployed:
    """A scratch copy of the project, deployed, with a worker waiting for its runs."""

    project: Path
    server: PrefectServer
    worker_log: Path

    def run(self, *arguments: str, seconds: float) -> dict[str, Any]:
        flow_run_id = self.server.run_deployment(DEPLOYMENT, *arguments, cwd=self.project)
        return self.server.wait_for(flow_run_id, seconds, self.worker_log)

    def states(self, run: dict[str, Any], expected: int) -> dict[str, str]:
        """The state of each task run by the task's name, in the order of their start.

        The server writes them down behind the run, so it is given time to have `expected` of them.
        """
        by_run = {"flow_runs": {"id": {"any_": [run["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
        for _ in range(60):
            found = self.server.post("task_runs/filter", **by_run)
            ended = [task for task in found if task["state_type"] in TERMINAL]
            if len(ended) >= expected:
                break
            time.sleep(0.5)
        return {task["name"].rsplit("-", 1)[0]: task["state_type"] for task in found}

    def report(self, run: dict[str, Any]) -> str:
        wanted = {"key": {"any_": [DEPLOYMENT.split("/")[1]]}, "type": {"any_": ["markdown"]}}
        (artifact,) = self.server.post(
            "artifacts/filter", artifacts=wanted, flow_runs={"id": {"any_": [run["id"]]}}
        )
        return str(artifact["data"])


@contextmanager
def scratch_project() -> Iterator[Path]:
    """A copy of what a run reads, in a folder that is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="tt-", dir="/tmp"))
    folder.chmod(0o755)  # as root the embedded server runs as a user of its own
    try:
        for name in PROJECT_FILES:
            shutil.copyfile(PROJECT_DIR / name, folder / name)
        for name in PROJECT_FOLDERS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT_DIR / name, folder / name, ignore=ignored)
        shutil.copyfile(folder / "profiles.yml.example", folder / "profiles.yml")
        yield folder
    finally:
        embedded.stop(make_settings("embedded", postgres_dir=folder / "data" / "postgres"))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with scratch_project() as project, running_server() as server:
        server.command("work-pool", "create", "two-tower", "--type", "process", cwd=project)
        elsewhere = server.home  # a worker need not be started in the project
        with server.process("worker", "start", "--pool", "two-tower", cwd=elsewhere) as log:
            server.command("deploy", "--all", cwd=project)
            yield Deployed(project, server, log)


def test_the_deployment_runs_this_checkout_every_week_in_a_named_time_zone(
    deployed: Deployed,
) -> None:
    (deployment,) = deployed.server.post("deployments/filter")
    (schedule,) = deployment["schedules"]
    (pull,) = deployment["pull_steps"]

    assert schedule["active"] is True
    assert schedule["schedule"]["timezone"] == "Asia/Tokyo"
    minute, hour, day, month, weekday = schedule["schedule"]["cron"].split()
    assert (day, month) == ("*", "*")
    assert all(part.isdigit() for part in (minute, hour, weekday))
    directory = pull["prefect.deployments.steps.set_working_directory"]["directory"]
    assert Path(directory) == deployed.project.resolve()
    assert str(PROJECT_DIR) not in (PROJECT_DIR / "prefect.yaml").read_text()


def test_a_failing_step_fails_the_run_and_the_report_says_where(deployed: Deployed) -> None:
    reviews = deployed.project / "bad" / "reviews"
    reviews.mkdir(parents=True)
    (reviews / "dmm_reviews_1.csv").write_text("product_url,stars\nhttps://e/1,5\n")
    elsewhere = {"TWO_TOWER_DATA_DIR": "bad", "TWO_TOWER_TARGET": "duckdb"}

    run = deployed.run("--job-variable", f"env={json.dumps(elsewhere)}", seconds=180)

    assert run["state_type"] == "FAILED"
    assert "reviewer_id" in run["state"]["message"]
    assert deployed.states(run, expected=1) == {"load": "FAILED"}
    assert deployed.report(run).count("not done") == len(STEPS)


def test_the_run_goes_the_whole_way_and_leaves_a_release_and_a_report(deployed: Deployed) -> None:
    sample_data.generate(deployed.project / "data" / "raw", reviews=3000)

    run = deployed.run(seconds=400)

    assert run["state_type"] == "COMPLETED", deployed.worker_log.read_text()
    states = deployed.states(run, expected=len(STEPS))
    assert list(states.items()) == [(step.name, "COMPLETED") for step in STEPS]
    settings = make_settings("embedded", postgres_dir=deployed.project / "data" / "postgres")
    with psycopg.connect(embedded.url(settings)) as connection:
        ((version,),) = connection.execute(
            "select version from two_tower.model_releases"
        ).fetchall()
        answer = connection.execute("select video_id from recommend_videos('nobody', 5)").fetchall()
    assert len(answer) == 5
    report = deployed.report(run)
    assert report.startswith(f"Model version: {version}\n")
    assert "not done" not in report
