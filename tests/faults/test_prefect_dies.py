"""A worker that dies with its flow, a server that dies under both: the next run goes through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import make_settings
from faults.invariants import CHECKED, Served, answers_of_one_release, latest_matches, served
from interfaces.prefect_server import PrefectServer, running_server
from interfaces.scratch_project import scratch_project
from two_tower.artifacts.registry import Registry
from two_tower.core.errors import ExitCode
from two_tower.data import sample_data
from two_tower.database import embedded

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("prefect-dies")]

WEEKLY = "weekly-two-tower"
QUICK = {
    "TWO_TOWER_TRAIN__EPOCHS": "4",
    "TWO_TOWER_RETRY_SECONDS": "5",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
}


@dataclass
class Site:
    """A copy of the project with a release, deployed on a server."""

    project: Path
    server: PrefectServer
    stack: ExitStack

    @property
    def dsn(self) -> str:
        postgres = self.project / "data/postgres"
        return embedded.url(make_settings("embedded", postgres_dir=postgres))

    def holds(self, *expected: Served) -> Served:
        found = answers_of_one_release(self.dsn, expected or None)
        registry = make_settings("duckdb", registry_url=str(self.project / "artifacts"))
        latest_matches(Registry(registry))
        return found

    def begin_worker(self) -> Any:
        return self.stack.enter_context(
            self.server.process("worker", "start", "--pool", "two-tower", cwd=self.project)
        )

    def wait_for_step(self, run: str, step: str, seconds: float = 120) -> None:
        by_run = {"flow_runs": {"id": {"any_": [run]}}}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            tasks = self.server.post("task_runs/filter", **by_run)
            if any(task["name"].startswith(step) for task in tasks):
                return
            time.sleep(0.3)
        raise AssertionError(f"no task {step} of {run}")

    def run_by_hand(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).parent / "two-tower", "run"],
            env={**self.server.environment, "TWO_TOWER_PROJECT_DIR": str(self.project)},
            cwd=self.project,
            capture_output=True,
            text=True,
            check=False,
        )

    def deliver(self, number: int) -> None:
        sample = next((self.project / "data/raw/reviews").glob("dmm_reviews_sample_*.csv"))
        page = sample.read_text(encoding="utf-8").splitlines()[1].split(",")[0]
        (self.project / f"data/raw/reviews/dmm_reviews_new_{number}.csv").write_text(
            f"product_url,reviewer_id,stars\n{page},new-{number},5\n"
        )


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started, at once."""
    root = psutil.Process(process.pid)
    for one in [root, *root.children(recursive=True)]:
        os.kill(one.pid, signal.SIGKILL)
    process.wait(10)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with scratch_project() as project, ExitStack() as stack:
        lenient = project / "dbt_project.yml"
        text = lenient.read_text(encoding="utf-8")
        lenient.write_text(text.replace("gate_min_users: 30", "gate_min_users: 1000000"))
        sample_data.generate(project / "data/raw", reviews=2000)
        server = stack.enter_context(running_server(QUICK))
        server.command("work-pool", "create", "two-tower", "--type", "process", cwd=project)
        server.command("deploy", "--all", cwd=project)
        made = Site(project, server, stack)
        log = made.begin_worker()
        run = server.run_deployment(f"{WEEKLY}/{WEEKLY}", cwd=project)
        state = server.wait_for(run, 200, log)
        assert state["state_name"] == "Completed", log.read_text()
        yield made


def test_worker_and_flow(site: Site) -> None:
    """A run by hand beside one on Prefect gives way; then kill -9 of worker and flow together.

    The slot is freed, and the next run goes through.
    """
    before = served(site.dsn)
    site.deliver(1)
    lost = site.server.run_deployment(f"{WEEKLY}/{WEEKLY}", cwd=site.project)
    site.wait_for_step(lost, "build")
    by_hand = site.run_by_hand()
    assert by_hand.returncode == ExitCode.BUSY, by_hand.stderr
    site.wait_for_step(lost, "train")
    kill_tree(site.server.processes["worker"])
    site.holds(before)
    assert site.server.api.get(f"flow_runs/{lost}").json()["state_type"] == "RUNNING"
    site.server.age(lost)

    log = site.begin_worker()
    daily = site.server.run_deployment("daily-embeddings/daily-embeddings", cwd=site.project)
    assert site.server.wait_for(daily, 120, log)["state_type"] == "COMPLETED", log.read_text()
    assert site.server.api.get(f"flow_runs/{lost}").json()["state_type"] == "CRASHED"
    site.holds()
    again = site.server.run_deployment(f"{WEEKLY}/{WEEKLY}", cwd=site.project)
    assert site.server.wait_for(again, 200, log)["state_name"] == "Completed", log.read_text()
    assert site.holds().version != before.version
    CHECKED.add("I2")


def test_server(site: Site) -> None:
    """kill -9 of the Prefect server: once it is back, the next run goes through."""
    before = served(site.dsn)
    site.deliver(2)
    lost = site.server.run_deployment(f"{WEEKLY}/{WEEKLY}", cwd=site.project)
    site.wait_for_step(lost, "build")
    kill_tree(site.server.processes["server"])
    time.sleep(3)
    site.holds(before)

    site.stack.enter_context(site.server.serving())
    log = site.server.home / "worker.log"
    # The flow goes on by itself once the server is back, or it has ended with it.
    ended = site.server.wait_for(lost, 240, log)
    again = site.server.run_deployment(f"{WEEKLY}/{WEEKLY}", cwd=site.project)
    state = site.server.wait_for(again, 240, log)
    assert state["state_name"] == "Completed", (ended["state_name"], log.read_text())
    assert site.holds().version != before.version
    CHECKED.add("I2")
