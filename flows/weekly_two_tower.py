"""The weekly run on Prefect: the steps of ``two-tower run``, a task each.

``make prefect`` deploys it, ``two-tower run weekly-two-tower`` starts it.
"""

from typing import Any

from prefect import flow

from two_tower import orchestration, pipeline


@flow(name="weekly-two-tower")
def weekly_two_tower() -> Any:
    """Load, build, train, evaluate, export, embed and release."""
    return orchestration.walk("weekly-two-tower", pipeline.STEPS)
