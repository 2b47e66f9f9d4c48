"""The deployments of ``prefect.yaml`` on the server: start one, check whose they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from two_tower.core import loopback, prefect_server
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings

TAG = "two-tower"


@dataclass(frozen=True)
class Started:
    """A run that is scheduled; a worker starts it."""

    deployment: str
    flow_run: str
    page: str


def start(settings: Settings, name: str) -> Started:
    """Schedule a run of a deployment, by its name without the flow's.

    Raises:
        InputError: there is no such deployment, or it belongs to another checkout of this machine.
        UnavailableError: no server answers.
    """
    with prefect_server.connected(settings) as client:
        api = str(client.api_url).rstrip("/")
        found = _read(client, [name])
        if not found:
            there = ", ".join(sorted(one.name for one in _read(client))) or "none"
            raise InputError(
                f"no deployment {name} on the Prefect server at {api}; there are: {there}",
                "make prefect, or prefect deploy --all, makes those of prefect.yaml",
            )
        if loopback.is_loopback(api):
            _refuse_others(api, found, "type it there")
        run = client.create_flow_run_from_deployment(found[0].id)
        return Started(name, str(run.id), f"{api.removesuffix('/api')}/runs/flow-run/{run.id}")


def claim(settings: Settings) -> None:
    """Check that the deployments of ``prefect.yaml`` do not belong to another checkout.

    Deploying would redirect the other checkout's runs to this one and its database. Deployments
    whose folder on this machine no longer exists are taken over.

    Raises:
        InputError: they do.
        UnavailableError: no server answers.
    """
    with prefect_server.connected(settings) as client:
        api = str(client.api_url).rstrip("/")
        found = _read(client, [str(deployment["name"]) for deployment in _declared()])
        if loopback.is_loopback(api):
            found = [one for one in found if Path(_folder(one) or ".").exists()]
        _refuse_others(api, found, "give these deployments, and their pool, names of their own")


def work_pool() -> str:
    """Return the work pool of the ``prefect.yaml`` in the current folder, the project's."""
    return str(_declared()[0]["work_pool"]["name"])


def _refuse_others(api: str, deployments: Iterable[Any], hint: str) -> None:
    """Raise InputError for deployments whose runs use another folder than the current one."""
    folders = {one.name: _folder(one) for one in deployments}
    others = {
        name: folder
        for name, folder in folders.items()
        if folder is not None and Path(folder).resolve() != Path.cwd()
    }
    if not others:
        return
    if loopback.is_loopback(api):
        port = loopback.free_port(prefect_server.port(api))
        hint = f"give this one a server of its own, make prefect PORT={port}, or {hint}"
    raise InputError(
        f"the Prefect server at {api} has {', '.join(sorted(others))} of another checkout,"
        f" {', '.join(sorted(set(others.values())))}",
        hint,
    )


def _folder(deployment: Any) -> str | None:
    """Return the folder that the deployment's pull step names."""
    for step in deployment.pull_steps or []:
        for inputs in step.values():
            if "directory" in inputs:
                return str(inputs["directory"])
    return None


def _read(client: Any, names: list[str] | None = None) -> list[Any]:
    from prefect.client.schemas.filters import DeploymentFilter

    wanted: dict[str, Any] = {"tags": {"all_": [TAG]}}
    if names is not None:
        wanted["name"] = {"any_": names}
    found: list[Any] = client.read_deployments(
        deployment_filter=DeploymentFilter.model_validate(wanted)
    )
    return found


def _declared() -> list[dict[str, Any]]:
    text = Path("prefect.yaml").read_text(encoding="utf-8")
    declared: list[dict[str, Any]] = yaml.safe_load(text)["deployments"]
    return declared
