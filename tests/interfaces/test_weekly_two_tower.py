"""The weekly run on a real Prefect server: deployed, picked up by a worker, and looked at.

As on several hosts: the server has a login and an address that is not this machine's own, the
checkout that was deployed from is not where the worker's is, and the database is a Postgres over
TCP with a plain role.

The worker does the whole way, a run beside another one, and the rollback. The other runs are in a
fork that has imported what they need: the same flows on the same server, in no deployment's slot.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from broken_servers import EXTENSIONS, PUBLIC, TEMPORARY, of_another
from conftest import PROJECT_DIR, make_settings
from forked import Ended, Forks
from interfaces.prefect_server import TERMINAL, PrefectServer, running_server
from interfaces.scratch_project import scratch_project
from operations.test_doctor import contents
from postgres_server import PASSWORD, PostgresServer
from two_tower.core.errors import ExitCode
from two_tower.core.settings import Settings
from two_tower.data import sample_data
from two_tower.database import locks
from two_tower.operations.pipeline import STEPS

DEPLOYMENT = "weekly-two-tower/weekly-two-tower"
LOGIN = {
    "PREFECT_SERVER_API_AUTH_STRING": "operator:a long password",
    "PREFECT_API_AUTH_STRING": "operator:a long password",
}
OF_CLIENTS = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
BROWSERS = "https://prefect.example/api"
# Of this machine, and no address that anybody calls it by: to our commands it is another host.
OTHER_HOST = "127.0.0.2"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prefect")]


@dataclass
class Deployed:
    """The worker's checkout, with a worker waiting for runs of what another one deployed.

    Attributes:
        project: the worker's checkout.
        deployed_from: the folder of the other one, which is on no machine that is here.
        database_url: of the runs.
    """

    project: Path
    deployed_from: Path
    database_url: str
    server: PrefectServer
    worker_log: Path
    forks: Forks

    @property
    def settings(self) -> Settings:
        return make_settings("postgres", database_url=self.database_url)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query).fetchall()

    def run(self, *arguments: str, seconds: float, name: str = "weekly-two-tower") -> Any:
        deployment = f"{name}/{name}"
        flow_run_id = self.server.run_deployment(deployment, *arguments, cwd=self.project)
        return self.server.wait_for(flow_run_id, seconds, self.worker_log)

    def run_here(self, name: str = "weekly-two-tower", **variables: str) -> tuple[Any, Ended]:
        """Call a flow without the worker; returns its run and how its process ended."""
        flow = name.replace("-", "_")
        done = self.python(
            f"import sys; sys.path.insert(0, 'flows'); from {flow} import {flow};"
            f" print('run', {flow}(return_state=True).state_details.flow_run_id)",
            **variables,
        )
        found = re.search(r"^run ([0-9a-f-]{36})$", done.stdout, re.MULTILINE)
        assert found, done.stdout + done.stderr
        return self.server.api.get(f"flow_runs/{found[1]}").json(), done

    def python(self, code: str, **variables: str) -> Ended:
        """Run some Python as the worker's processes do: in its checkout and its environment."""
        return self.forks.end(["python", "-c", code], self.environment(variables), self.project)

    def typed(self, *arguments: str, **variables: str) -> Ended:
        """`two-tower …`, typed in the worker's checkout."""
        command = ["two-tower", *arguments]
        return self.forks.end(command, self.environment(variables), self.project)

    def environment(self, variables: dict[str, str]) -> dict[str, str]:
        return {**self.server.environment, **variables}

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


@pytest.fixture(scope="module")
def deployed(postgres_server: PostgresServer, forks: Forks) -> Iterator[Deployed]:
    database_url = postgres_server.prepare("flows")
    with (
        scratch_project() as project,
        running_server({**LOGIN, "PREFECT_SERVER_UI_API_URL": BROWSERS}, OTHER_HOST) as server,
    ):
        with scratch_project() as elsewhere:
            server.command("work-pool", "create", "two-tower", "--type", "process", cwd=elsewhere)
            server.command("deploy", "--all", cwd=elsewhere)
        # As the runbook prints it: what a worker has to know is in its checkout's .env.
        lines = [
            *(f"{name}='{server.environment.pop(name)}'" for name in OF_CLIENTS),
            "TWO_TOWER_TARGET=postgres",
            f"DATABASE_URL={database_url}",
        ]
        (project / ".env").write_text("\n".join(lines))
        server.environment["TWO_TOWER_PROJECT_DIR"] = str(project)
        with server.process("worker", "start", "--pool", "two-tower", cwd=project) as log:
            yield Deployed(project, elsewhere, database_url, server, log, forks)


def test_the_deployment_is_of_one_checkout_every_week_in_a_named_time_zone(
    deployed: Deployed,
) -> None:
    found = {row["name"]: row for row in deployed.server.post("deployments/filter")}
    assert found.keys() == {"weekly-two-tower", "daily-embeddings", "rollback"}
    for deployment in found.values():
        (pull,) = deployment["pull_steps"]
        assert (
            Path(pull["two_tower.interfaces.prefect_checkout.enter"]["directory"])
            == deployed.deployed_from
        )
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


def test_browsers_get_an_address_of_the_api_and_a_login_is_wanted(deployed: Deployed) -> None:
    page = f"http://{OTHER_HOST}:{deployed.server.port}"
    shown = httpx.get(f"{page}/ui-settings").json()
    assert (shown["api_url"], shown["auth"]) == (BROWSERS, "BASIC")
    assert httpx.get(f"{page}/api/admin/version").status_code == httpx.codes.UNAUTHORIZED

    refused = deployed.typed("run", "weekly-two-tower", PREFECT_API_AUTH_STRING="")

    assert refused.returncode == ExitCode.BAD_INPUT
    assert f"the Prefect server at {page}/api wants a login" in refused.stderr
    assert "PREFECT_API_AUTH_STRING" in refused.stderr


def test_a_run_fails_before_it_writes_with_what_is_to_be_typed(
    deployed: Deployed, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = of_another(postgres_server, "for_a_flow", TEMPORARY, PUBLIC, EXTENSIONS)
    before = contents(url)
    (tmp_path / "raw/reviews").mkdir(parents=True)
    places = {"DATA_DIR": "raw", "RUNS_DIR": "runs", "REGISTRY_URL": "artifacts"}

    run, _ = deployed.run_here(
        DATABASE_URL=url,
        **{f"TWO_TOWER_{name}": str(tmp_path / part) for name, part in places.items()},
    )

    assert run["state_type"] == "FAILED"
    assert "→ grant create on database for_a_flow to app" in run["state"]["message"]
    assert contents(url) == before
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_failing_step_fails_the_run_and_the_report_says_where(deployed: Deployed) -> None:
    reviews = deployed.project / "bad" / "reviews"
    reviews.mkdir(parents=True)
    (reviews / "dmm_reviews_1.csv").write_text("product_url,stars\nhttps://e/1,5\n")

    run, _ = deployed.run_here(TWO_TOWER_DATA_DIR="bad", TWO_TOWER_TARGET="duckdb")

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
    ((version,),) = deployed.rows("select version from two_tower.model_releases")
    assert len(deployed.rows("select video_id from recommend_videos('nobody', 5)")) == 5
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


def test_a_run_beside_another_is_skipped_within_seconds_and_writes_nothing(
    deployed: Deployed,
) -> None:
    with locks.held(deployed.settings, locks.RUN):
        started = json.loads(deployed.typed("run", "daily-embeddings", "--json").stdout)
        run = deployed.server.wait_for(started["flow_run"], 60, deployed.worker_log)

    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Skipped")
    assert "another two-tower is running on this database" in run["state"]["message"]
    assert run["total_run_time"] < 10
    assert deployed.states(run, expected=0) == {}


def test_new_reviews_and_a_deleted_video_reach_the_app_the_next_day(deployed: Deployed) -> None:
    raw = deployed.project / "data" / "raw"
    page = next(iter(csv.DictReader((raw / "catalogue/videos.csv").open())))["product_url"]
    (raw / "reviews/dmm_reviews_new.csv").write_text(
        f"product_url,reviewer_id,stars\n{page},somebody-new,5\n"
    )

    run, done = deployed.run_here("daily-embeddings")

    assert run["state_name"] == "Completed", done.stderr
    assert list(deployed.states(run, expected=3)) == ["load", "build", "refresh"]
    found = "select count(*) from public.user_embeddings where user_id = 'somebody-new'"
    assert deployed.rows(found) == [(1,)]


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

    run, done = deployed.run_here("daily-embeddings")

    assert run["state_type"] == "COMPLETED", done.stderr
    assert deployed.server.api.get(f"flow_runs/{lost['id']}").json()["state_type"] == "CRASHED"
    found = deployed.deployment("weekly-two-tower")["global_concurrency_limit"]
    assert found["active_slots"] == 0


def test_a_worker_that_starts_again_marks_its_runs_that_have_gone_and_no_other(
    deployed: Deployed,
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    here = str(os.getpid())
    left = {
        name: running(deployed, "daily-embeddings", worker, pid)
        for name, worker, pid in (
            ("gone", "this-one", str(gone.pid)),
            ("begun", "this-one", None),
            ("alive", "this-one", here),
            ("elsewhere", "another", str(gone.pid)),
        )
    }
    mark = "from two_tower.interfaces.prefect_flows import mark_stopped; mark_stopped('this-one')"

    done = deployed.python(mark)

    assert done.returncode == 0, done.stderr

    states = {
        name: deployed.server.api.get(f"flow_runs/{run}").json()["state_type"]
        for name, run in left.items()
    }
    assert states == {
        "gone": "CRASHED",
        "begun": "CRASHED",
        "alive": "RUNNING",
        "elsewhere": "RUNNING",
    }
    ended = {"type": "CANCELLED"}
    for name in ("alive", "elsewhere"):
        deployed.server.post(f"flow_runs/{left[name]}/set_state", state=ended, force=True)


def running(deployed: Deployed, name: str, worker: str, pid: str | None) -> str:
    """A run that says to be running: of a worker, in a process."""
    api = deployed.server.api
    run = deployed.server.post(
        f"deployments/{deployed.deployment(name)['id']}/create_flow_run", state={"type": "PENDING"}
    )["id"]
    deployed.server.post(f"flow_runs/{run}/set_state", state={"type": "RUNNING"}, force=True)
    api.patch(f"flow_runs/{run}/labels", json={"prefect.worker.name": worker}).raise_for_status()
    api.patch(f"flow_runs/{run}", json={"infrastructure_pid": pid}).raise_for_status()
    return str(run)


def test_a_rollback_with_nothing_to_go_back_to_has_failed_and_leaves_a_run_beside_it_alone(
    deployed: Deployed,
) -> None:
    weekly = deployed.deployment("weekly-two-tower")["id"]
    at_work = deployed.server.post(
        f"deployments/{weekly}/create_flow_run", state={"type": "PENDING"}
    )
    state = {"type": "RUNNING"}
    deployed.server.post(f"flow_runs/{at_work['id']}/set_state", state=state, force=True)
    deployed.server.age(at_work["id"])
    with locks.held(deployed.settings, locks.RUN):  # as that run does
        run, _ = deployed.run_here("rollback")

    assert (run["state_type"], run["state_name"]) == ("FAILED", "Failed")
    assert "there is no release to go back to" in run["state"]["message"]
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


OTHER_MODEL = {"TWO_TOWER_TRAIN__SEED": "1"}


def test_a_gate_that_refuses_fails_the_run_and_says_which_and_by_how_much(
    deployed: Deployed,
) -> None:
    with (
        gate(deployed, "gate_coverage_floor: 0.02", "gate_coverage_floor: 2"),
        # Of so few users chance may refuse a slice of the other seed as well.
        gate(deployed, "gate_margin: 0.02", "gate_margin: 1"),
    ):
        run, done = deployed.run_here(**OTHER_MODEL)

    assert (run["state_type"], run["state_name"]) == ("FAILED", "Refused")
    assert "coverage" in run["state"]["message"]
    assert "at least 2 is required (short by" in run["state"]["message"]
    report = deployed.report(run)
    assert "## Gates: 1 of" in report
    assert "| **✘** | coverage" in report
    assert deployed.rows("select count(*) from two_tower.model_releases") == [(1,)]
    # What is refused is no defect: the message says why.
    assert "Traceback" not in done.stdout + done.stderr


def test_a_second_release_is_rolled_back_from_prefect(deployed: Deployed) -> None:
    with gate(deployed, "gate_min_users: 30", "gate_min_users: 1000000"):
        second, done = deployed.run_here(**OTHER_MODEL)
    assert second["state_name"] == "Completed", done.stderr

    run = deployed.run(seconds=60, name="rollback")

    assert run["state_name"] == "Completed", deployed.worker_log.read_text()
    rows = deployed.rows(
        "select version, is_rollback from two_tower.model_releases order by release_id"
    )
    assert [is_rollback for _, is_rollback in rows] == [False, False, True]
    assert rows[0][0] == rows[2][0] != rows[1][0]


def test_what_a_rollback_withdrew_is_refused_whoever_runs_it(deployed: Deployed) -> None:
    """By hand and on Prefect: features as of the same moment, so the same model again."""
    features = "select user_id, like_count_30d from two_tower.user_features order by user_id"
    as_on_prefect = deployed.rows(features)
    assert any(count > 0 for _, count in as_on_prefect)
    with psycopg.connect(deployed.database_url) as connection:
        connection.execute("delete from two_tower.finished_steps where step = 'build'")
    newest = "select version from two_tower.model_releases where not is_rollback"
    withdrawn = deployed.rows(f"{newest} order by release_id desc limit 1")[0][0]
    with gate(deployed, "gate_min_users: 30", "gate_min_users: 1000000"):
        by_hand = deployed.typed("run", **OTHER_MODEL)
        on_prefect, _ = deployed.run_here(**OTHER_MODEL)

    assert deployed.rows(features) == as_on_prefect
    assert by_hand.returncode == ExitCode.GATE_FAILED, by_hand.stderr
    assert (on_prefect["state_type"], on_prefect["state_name"]) == ("FAILED", "Refused")
    for said in (by_hand.stderr, on_prefect["state"]["message"]):
        assert withdrawn in said
        assert "withdrawn is 1" in said


def test_no_password_reaches_prefects_database(deployed: Deployed) -> None:
    files = [path for path in deployed.server.home.rglob("*") if path.is_file()]
    assert deployed.server.home / "prefect.db" in files
    encoded = deployed.database_url.split(":")[2].split("@")[0]
    for path in files:
        for password in (PASSWORD, encoded):
            assert password.encode() not in path.read_bytes(), path
