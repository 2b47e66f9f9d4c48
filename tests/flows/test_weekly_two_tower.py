"""The weekly run on a real Prefect server: deployed, picked up by a worker, and looked at."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import PROJECT_DIR, make_settings
from flows.prefect_server import TERMINAL, PrefectServer, running_server
from two_tower import embedded, locks, sample_data
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

    def run(self, *arguments: str, seconds: float, name: str = "weekly-two-tower") -> Any:
        deployment = f"{name}/{name}"
        flow_run_id = self.server.run_deployment(deployment, *arguments, cwd=self.project)
        return self.server.wait_for(flow_run_id, seconds, self.worker_log)

    def deployment(self, name: str) -> Any:
        return self.server.api.get(f"deployments/name/{name}/{name}").json()

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
    found = {row["name"]: row for row in deployed.server.post("deployments/filter")}
    assert found.keys() == {"weekly-two-tower", "daily-embeddings", "rollback"}
    for deployment in found.values():
        (pull,) = deployment["pull_steps"]
        directory = pull["prefect.deployments.steps.set_working_directory"]["directory"]
        assert Path(directory) == deployed.project.resolve()
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        for schedule in deployment["schedules"]:
            assert schedule["active"] is True
            assert schedule["schedule"]["timezone"] == "Asia/Tokyo"
    assert found["rollback"]["schedules"] == []
    days = set[str]()
    for name in ("weekly-two-tower", "daily-embeddings"):
        (schedule,) = found[name]["schedules"]
        minute, hour, day, month, weekday = schedule["schedule"]["cron"].split()
        assert (day, month) == ("*", "*")
        assert minute.isdigit()
        assert hour.isdigit()
        assert not days & {weekday}
        days.add(weekday)
    assert str(PROJECT_DIR) not in (PROJECT_DIR / "prefect.yaml").read_text()


def test_the_schedules_make_runs(deployed: Deployed) -> None:
    scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    deadline = time.monotonic() + 90
    wanted = {deployed.deployment(name)["id"] for name in ("weekly-two-tower", "daily-embeddings")}
    found = set[str]()
    while found != wanted and time.monotonic() < deadline:
        runs = deployed.server.post("flow_runs/filter", flow_runs=scheduled)
        found = {run["deployment_id"] for run in runs}
        time.sleep(0.5)
    assert found == wanted


def test_a_failing_step_fails_the_run_and_the_report_says_where(deployed: Deployed) -> None:
    reviews = deployed.project / "bad" / "reviews"
    reviews.mkdir(parents=True)
    (reviews / "dmm_reviews_1.csv").write_text("product_url,stars\nhttps://e/1,5\n")
    elsewhere = {"TWO_TOWER_DATA_DIR": "bad", "TWO_TOWER_TARGET": "duckdb"}

    run = deployed.run("--job-variable", f"env={json.dumps(elsewhere)}", seconds=180)

    assert (run["state_type"], run["state_name"]) == ("FAILED", "Failed")
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
    assert report.startswith(f"# {version}\n\n**Completed**")
    for part in ("| reviews | 3,", "rows were rejected:", "| ndcg@10 | 0.", "## Gates: all passed"):
        assert part in report
    assert f"runs/{version}/report.html" in report
    table = {"key": {"any_": ["weekly-two-tower-gates"]}, "type": {"any_": ["table"]}}
    (gates,) = deployed.server.post("artifacts/filter", artifacts=table)
    rows = json.loads(gates["data"])
    assert len(rows) > 5
    assert all(row["passed"] for row in rows)
    assert rows[0].keys() == {"check", "value", "requirement", "threshold", "passed", "note"}
    assert "not done" not in report


def shell(deployed: Deployed, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [Path(sys.executable).parent / "two-tower", *arguments, "--json"],
        env={**deployed.server.environment, "TWO_TOWER_PROJECT_DIR": str(deployed.project)},
        cwd=deployed.project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_run_beside_another_is_skipped_within_seconds_and_writes_nothing(
    deployed: Deployed,
) -> None:
    settings = make_settings("embedded", postgres_dir=deployed.project / "data" / "postgres")
    with locks.held(settings, locks.RUN):
        started = shell(deployed, "run", "daily-embeddings")
        run = deployed.server.wait_for(started["flow_run"], 60, deployed.worker_log)

    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Skipped")
    assert "another two-tower is running on this database" in run["state"]["message"]
    assert run["total_run_time"] < 10
    assert deployed.states(run, expected=0) == {}


def test_new_reviews_and_a_deleted_video_reach_the_app_the_next_day(deployed: Deployed) -> None:
    settings = make_settings("embedded", postgres_dir=deployed.project / "data" / "postgres")
    raw = deployed.project / "data" / "raw"
    page = next(iter(csv.DictReader((raw / "catalogue/videos.csv").open())))["product_url"]
    (raw / "reviews/dmm_reviews_new.csv").write_text(
        f"product_url,reviewer_id,stars\n{page},somebody-new,5\n"
    )

    run = deployed.run(seconds=300, name="daily-embeddings")

    assert run["state_name"] == "Completed", deployed.worker_log.read_text()
    assert list(deployed.states(run, expected=3)) == ["load", "build", "refresh"]
    with psycopg.connect(embedded.url(settings)) as connection:
        found = connection.execute(
            "select count(*) from public.user_embeddings where user_id = 'somebody-new'"
        ).fetchone()
    assert found == (1,)


def test_a_run_whose_process_has_gone_is_marked_and_its_slot_is_free(deployed: Deployed) -> None:
    deployment = deployed.deployment("weekly-two-tower")
    # As a machine leaves it that was switched off: running for ever, with the only slot.
    lost = deployed.server.post(
        f"deployments/{deployment['id']}/create_flow_run", state={"type": "PENDING"}
    )
    running = {"type": "RUNNING"}
    deployed.server.post(f"flow_runs/{lost['id']}/set_state", state=running, force=True)
    deployed.server.age(lost["id"])
    limit = deployment["global_concurrency_limit"]["id"]
    deployed.server.api.patch(f"v2/concurrency_limits/{limit}", json={"active_slots": 1})

    run = deployed.run(seconds=120, name="daily-embeddings")

    assert run["state_type"] == "COMPLETED", deployed.worker_log.read_text()
    assert deployed.server.api.get(f"flow_runs/{lost['id']}").json()["state_type"] == "CRASHED"
    found = deployed.deployment("weekly-two-tower")["global_concurrency_limit"]
    assert found["active_slots"] == 0


def test_a_rollback_leaves_the_run_at_work_beside_it_alone(deployed: Deployed) -> None:
    weekly = deployed.deployment("weekly-two-tower")["id"]
    at_work = deployed.server.post(
        f"deployments/{weekly}/create_flow_run", state={"type": "PENDING"}
    )
    state = {"type": "RUNNING"}
    deployed.server.post(f"flow_runs/{at_work['id']}/set_state", state=state, force=True)
    deployed.server.age(at_work["id"])
    settings = make_settings("embedded", postgres_dir=deployed.project / "data" / "postgres")
    with locks.held(settings, locks.RUN):  # as that run does
        run = deployed.run(seconds=120, name="rollback")

    assert run["state_type"] == "COMPLETED", deployed.worker_log.read_text()
    assert deployed.server.api.get(f"flow_runs/{at_work['id']}").json()["state_type"] == "RUNNING"
    ended = {"type": "CANCELLED"}
    deployed.server.post(f"flow_runs/{at_work['id']}/set_state", state=ended, force=True)


@contextmanager
def gate(deployed: Deployed, old: str, new: str) -> Iterator[None]:
    """Set a margin of the gate for the length of the block."""
    project = deployed.project / "dbt_project.yml"
    text = project.read_text(encoding="utf-8")
    assert old in text
    project.write_text(text.replace(old, new), encoding="utf-8")
    yield
    project.write_text(text, encoding="utf-8")


OTHER_MODEL = f"env={json.dumps({'TWO_TOWER_TRAIN__SEED': '1'})}"


def test_a_gate_that_refuses_fails_the_run_and_says_which_and_by_how_much(
    deployed: Deployed,
) -> None:
    settings = make_settings("embedded", postgres_dir=deployed.project / "data" / "postgres")
    with (
        gate(deployed, "gate_coverage_floor: 0.02", "gate_coverage_floor: 2"),
        # Of so few users chance may refuse a slice of the other seed as well.
        gate(deployed, "gate_margin: 0.02", "gate_margin: 1"),
    ):
        run = deployed.run("--job-variable", OTHER_MODEL, seconds=300)

    assert (run["state_type"], run["state_name"]) == ("FAILED", "Refused")
    assert "coverage" in run["state"]["message"]
    assert "at least 2 is required (short by" in run["state"]["message"]
    report = deployed.report(run)
    assert "## Gates: 1 of" in report
    assert "| **✘** | coverage" in report
    with psycopg.connect(embedded.url(settings)) as connection:
        count = connection.execute("select count(*) from two_tower.model_releases").fetchone()
    assert count == (1,)


def test_a_second_release_is_rolled_back_from_prefect(deployed: Deployed) -> None:
    with gate(deployed, "gate_min_users: 30", "gate_min_users: 1000000"):
        second = deployed.run("--job-variable", OTHER_MODEL, seconds=300)
    assert second["state_name"] == "Completed", deployed.worker_log.read_text()

    run = deployed.run(seconds=60, name="rollback")

    assert run["state_name"] == "Completed", deployed.worker_log.read_text()
    settings = make_settings("embedded", postgres_dir=deployed.project / "data" / "postgres")
    with psycopg.connect(embedded.url(settings)) as connection:
        rows = connection.execute(
            "select version, is_rollback from two_tower.model_releases order by release_id"
        ).fetchall()
    assert [is_rollback for _, is_rollback in rows] == [False, False, True]
    assert rows[0][0] == rows[2][0] != rows[1][0]


def test_a_failing_run_calls_the_webhook_as_the_runbook_sets_it_up(deployed: Deployed) -> None:
    received: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            received.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    save = (
        "from prefect.blocks.webhook import Webhook\n"
        f"url = 'http://127.0.0.1:{receiver.server_port}/'\n"
        "print(Webhook(method='POST', url=url).save('two-tower', overwrite=True))"
    )
    block = subprocess.run(
        [sys.executable, "-c", save],
        env=deployed.server.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[-1]
    text = (PROJECT_DIR / "automations.yaml").read_text(encoding="utf-8")
    mine = deployed.project / "automations.yaml"
    mine.write_text(text.replace("WEBHOOK_BLOCK_ID", block), encoding="utf-8")
    deployed.server.command("automation", "create", "--from-file", str(mine), cwd=deployed.project)

    nowhere = {"TWO_TOWER_TARGET": "postgres", "TWO_TOWER_RETRY_SECONDS": "0"}
    run = deployed.run("--job-variable", f"env={json.dumps(nowhere)}", seconds=120)

    assert run["state_type"] == "FAILED"
    deadline = time.monotonic() + 60
    while not received and time.monotonic() < deadline:
        time.sleep(0.5)
    receiver.shutdown()
    (sent,) = received
    assert sent["text"].startswith(f"{run['name']} of weekly-two-tower is Failed: target postgres,")
