"""The weekly run on Prefect: the steps of ``two-tower run``, a task each.

``make prefect`` deploys it, ``two-tower run weekly-two-tower`` starts it.
"""

from typing import Any

from prefect import flow

from two_tower.interfaces import prefect_flows
from two_tower.operations import pipeline


@flow(name="weekly-two-tower")
def weekly_two_tower() -> Any:
    """Load, build, train, evaluate, export, embed and release."""
    return prefect_flows.walk("weekly-two-tower", pipeline.STEPS)
