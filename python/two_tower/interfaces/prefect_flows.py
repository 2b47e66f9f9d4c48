"""The pipeline on Prefect: a task per step, a final state per outcome, a report per run.

:mod:`two_tower.operations.pipeline` defines the steps and their order. The flows in ``flows/`` only
call :func:`walk`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import psycopg
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.exceptions import FailedRun
from prefect.logging import get_logger
from prefect.runtime import flow_run as this_run
from prefect.states import Completed, Crashed, Failed

from two_tower.core import logs
from two_tower.core.errors import BusyError, GateError, NotEnoughDataError, TwoTowerError
from two_tower.core.settings import Settings, read_settings, unknown_names
from two_tower.database.database_errors import explained
from two_tower.database.warehouse import open_warehouse
from two_tower.interfaces.prefect_deployments import TAG
from two_tower.operations import pipeline, run_page

ALIVE = ["RUNNING", "PENDING", "CANCELLING"]
# A run may wait `retry_seconds` for the database before it takes the lock; then it needs a moment
# to report its state.
GRACE = timedelta(minutes=1)


class WithoutTracebacks(logging.Filter):
    """Removes the traceback from Prefect's log of an error whose message is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove the traceback of an explained error; every record is logged."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, FailedRun) or (isinstance(error, Exception) and explained(error)):
            record.exc_info = record.exc_text = None
        return True


for _name in ("prefect.engine", "prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(WithoutTracebacks())


@task(cache_policy=NO_CACHE)
def run_step(name: str, version: str | None) -> pipeline.Summary:
    """Run one step. Settings are no parameter: Prefect's database would store their secrets."""
    return pipeline.run_step(name, read_settings(), version, in_run=True)


def walk(name: str, steps: Sequence[pipeline.Step], version: str | None = None) -> Any:
    """Run steps in order and store a report as an artifact, also when the run fails.

    Args:
        name: the key of the artifact.
        steps: of :mod:`two_tower.operations.pipeline`.
        version: of the model that the first step works on.

    Returns:
        The final state. Completed, named Skipped when another run holds the lock, or NotEnoughData
        when there is too little to train on; Failed, named Refused when a gate refused.
    """
    settings = read_settings()
    logs.warn_of(unknown_names(settings.project_dir))
    summaries: dict[str, pipeline.Summary] = {}

    def do(step: str, settings: Settings, version: str | None) -> pipeline.Summary:
        summary: pipeline.Summary = run_step.with_options(name=step)(step, version)
        return summary

    try:
        version = pipeline.run(
            settings, do, summaries, steps, version, first=lambda: mark_orphans(settings)
        )
        state = Completed(message=f"model {version}")
    except BusyError as error:
        return Completed(name="Skipped", message=_told(error))
    except NotEnoughDataError as error:
        message = _told(error)
        # The next scheduled run may have enough; a rollback that was asked for did not happen.
        state = (
            Failed(message=message)
            if steps is pipeline.ROLLBACK_STEPS
            else Completed(name="NotEnoughData", message=message)
        )
    except GateError as error:
        state = Failed(name="Refused", message=_told(error))
    except Exception as error:
        told = explained(error)
        state = Failed(message=_told(told) if told else repr(error))
        if told is None:  # a defect: its traceback is for the log
            _report(settings, name, summaries, steps, state)
            raise
    _report(settings, name, summaries, steps, state)
    return state


def _report(
    settings: Settings,
    name: str,
    summaries: dict[str, pipeline.Summary],
    steps: Sequence[pipeline.Step],
    state: Any,
) -> None:
    """Store the run's page and a table of its gates; without a database, the page of the steps."""
    outcome = f"**{state.name}**: {state.message}"
    rows: list[dict[str, Any]] = []
    try:
        page = run_page.page(settings, summaries, steps, outcome)
        version = next((s["version"] for s in summaries.values() if s.get("version")), None)
        with open_warehouse(settings) as warehouse:
            rows = run_page.checks(warehouse, version) if version else []
    except (TwoTowerError, psycopg.Error) as error:
        page = f"{outcome}\n\n{run_page.step_table(summaries, steps)}\n\n{error}"
    create_markdown_artifact(page, key=name, description="What the run left")
    if rows:
        create_table_artifact(rows, key=f"{name}-gates", description="Gates in front of a release")


def mark_orphans(settings: Settings) -> None:
    """Mark runs whose process died as Crashed, and free their concurrency slots.

    Call it with the run lock held: any other run that is Running is then dead, or about to be
    Skipped. If the worker died with its run, nobody else reports it, and its slot would keep every
    later run of the deployment waiting.
    """
    long_ago = datetime.now(UTC) - GRACE - timedelta(seconds=settings.retry_seconds)
    _mark(
        lambda run: str(run.id) != this_run.id and run.state.timestamp < long_ago,
        "Its process died: another run holds the lock.",
    )


def mark_stopped(worker: str) -> int:
    """Mark the dead runs of a worker of this machine as Crashed, and free their slots.

    Returns:
        how many were marked.
    """
    return _mark(
        lambda run: (
            run.labels.get("prefect.worker.name") == worker
            and not _is_alive(run.infrastructure_pid)
        ),
        "It was stopped together with its worker; the next run resumes it.",
    )


def _mark(is_dead: Callable[[Any], bool], message: str) -> int:
    marked = 0
    with get_client(sync_client=True) as client:
        ours = client.read_deployments(
            deployment_filter=DeploymentFilter.model_validate({"tags": {"all_": [TAG]}})
        )
        for deployment in ours:
            alive = client.read_flow_runs(
                flow_run_filter=FlowRunFilter.model_validate(
                    {"state": {"type": {"any_": ALIVE}}, "deployment_id": {"any_": [deployment.id]}}
                )
            )
            dead = [run for run in alive if is_dead(run)]
            for run in dead:
                client.set_flow_run_state(run.id, Crashed(message=message), force=True)
                get_logger("two_tower").warning("%s: %s", run.name, message)
            _free_slots(client, deployment.id, len(alive) - len(dead))
            marked += len(dead)
    return marked


def _is_alive(pid: str | None) -> bool:
    """Return whether a process of this machine is running; a zombie is not."""
    try:
        return pid is not None and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _free_slots(client: Any, deployment_id: Any, runs: int) -> None:
    """Lower the occupied slots of a deployment to the number of its runs."""
    limit = client.read_deployment(deployment_id).global_concurrency_limit
    if limit is not None and limit.active_slots > runs:
        client.update_global_concurrency_limit(
            limit.name, GlobalConcurrencyLimitUpdate(active_slots=runs)
        )


def _told(error: TwoTowerError) -> str:
    return f"{error}\n→ {error.hint}" if error.hint else str(error)
