"""The lists of steps on Prefect: a task a step, states that say what happened, a report a run.

What is done, and in which order, is :mod:`two_tower.pipeline`'s. The flows in ``flows/`` call
:func:`walk` and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from prefect.runtime import flow_run as this_run
from prefect.states import Completed, Crashed, Failed

from two_tower import logs, model_card, pipeline, run_report
from two_tower.errors import (
    BusyError,
    GateError,
    InputError,
    NotEnoughDataError,
    TwoTowerError,
    UnavailableError,
)
from two_tower.settings import Settings, read_settings
from two_tower.warehouse import open_warehouse

TAG = "two-tower"
ALIVE = ["RUNNING", "PENDING", "CANCELLING"]
# A run that has begun and neither ended nor taken the lock may be waiting for the database.
GRACE = timedelta(minutes=1)


@task(cache_policy=NO_CACHE)
def run_step(name: str, version: str | None, as_of: datetime | None) -> pipeline.Summary:
    """Run one step. It reads its settings itself, which keeps secrets out of Prefect's database."""
    settings = read_settings().model_copy(update={"as_of": as_of})
    return pipeline.run_step(name, settings, version, in_run=True)


def walk(name: str, steps: Sequence[pipeline.Step], version: str | None = None) -> Any:
    """Walk some steps and leave a report as an artifact, also of a run that failed.

    Args:
        name: the key of the artifact.
        steps: of :mod:`two_tower.pipeline`.
        version: of the model that the first step works on.

    Returns:
        The final state: Completed, by name Skipped where another run is at work and NotEnoughData
        where there is nothing to do it on; Failed, by name Refused where a gate refused.
    """
    settings = read_settings()
    logs.warn_of_unknown_names(settings)
    summaries: dict[str, pipeline.Summary] = {}

    def do(step: str, settings: Settings, version: str | None) -> pipeline.Summary:
        # The features are as of the moment the data came: the same data, the same features.
        loaded = summaries.get("load", {}).get("data_as_of")
        as_of = settings.as_of or (datetime.fromisoformat(loaded) if loaded else None)
        summary: pipeline.Summary = run_step.with_options(name=step)(step, version, as_of)
        return summary

    try:
        with pipeline.alone(settings, steps) as is_alone:
            if is_alone:
                mark_orphans(settings)
            version = pipeline.run(settings, do, summaries, steps, version)
        state = Completed(message=f"model {version}")
    except BusyError as error:
        return Completed(name="Skipped", message=_told(error))
    except NotEnoughDataError as error:
        state = Completed(name="NotEnoughData", message=_told(error))
    except GateError as error:
        state = Failed(name="Refused", message=_told(error))
    except TwoTowerError as error:
        state = Failed(message=_told(error))
    except Exception as error:
        _report(settings, name, summaries, steps, Failed(message=repr(error)))
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
    """Leave the run's page, and a table of its gates. That a database is away spoils neither."""
    outcome = f"**{state.name}**: {state.message}"
    rows: list[dict[str, Any]] = []
    try:
        page = model_card.model_card(settings, summaries, steps, outcome)
        version = next((s["version"] for s in summaries.values() if s.get("version")), None)
        with open_warehouse(settings) as warehouse:
            rows = model_card.checks(warehouse, version) if version else []
    except (TwoTowerError, psycopg.Error) as error:
        page = f"{outcome}\n\n{run_report.as_markdown(summaries, steps)}\n\n{error}"
    create_markdown_artifact(page, key=name, description="What the run left")
    if rows:
        create_table_artifact(rows, key=f"{name}-gates", description="Gates in front of a release")


def start(name: str) -> str:
    """Start a deployment by its bare name and return the id of its flow run.

    Raises:
        InputError: there is no such deployment.
        UnavailableError: Prefect's API did not answer.
    """
    try:
        run = run_deployment(f"{name}/{name}", timeout=0, as_subflow=False)
    except ObjectNotFound as error:
        raise InputError(
            f"no deployment {name}/{name}",
            "prefect deployment ls shows them; prefect deploy --all makes them",
        ) from error
    except (httpx.HTTPError, RuntimeError) as error:
        raise UnavailableError(
            f"Prefect's API did not answer: {error}", "set PREFECT_API_URL; is the server running?"
        ) from error
    return str(run.id)


def mark_orphans(settings: Settings) -> list[str]:
    """Mark runs Crashed whose process has gone, and free the slots that nobody holds.

    Call it with the lock of a run held: whoever says to be running and does not hold it is dead, or
    about to be Skipped. A worker that was lost together with its run cannot say so, and its slot
    would keep every later run of the deployment waiting.

    Returns:
        The ids of the runs that were marked.
    """
    long_ago = datetime.now(UTC) - GRACE - timedelta(seconds=settings.retry_seconds)
    marked = []
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
            dead = [
                run
                for run in alive
                if str(run.id) != this_run.id and run.state.timestamp < long_ago
            ]
            for run in dead:
                message = "Its process has gone: another run got hold of the lock."
                client.set_flow_run_state(run.id, Crashed(message=message), force=True)
                get_logger("two_tower").warning("%s: %s", run.name, message)
                marked.append(str(run.id))
            _free_slots(client, deployment.id, len(alive) - len(dead))
    return marked


def _free_slots(client: Any, deployment_id: Any, runs: int) -> None:
    """Let a deployment's limit count the runs there are, where it counts more."""
    limit = client.read_deployment(deployment_id).global_concurrency_limit
    if limit is not None and limit.active_slots > runs:
        client.update_global_concurrency_limit(
            limit.name, GlobalConcurrencyLimitUpdate(active_slots=runs)
        )


def _told(error: TwoTowerError) -> str:
    return f"{error}\n→ {error.hint}" if error.hint else str(error)
