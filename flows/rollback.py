"""The rollback on Prefect: the release before serves again."""

from typing import Any

from prefect import flow

from two_tower.interfaces import prefect_flows
from two_tower.operations import pipeline


@flow(name="rollback")
def rollback(version: str | None = None) -> Any:
    """Put the previous release back, or a version of the registry."""
    return prefect_flows.walk("rollback", pipeline.ROLLBACK_STEPS, version)
