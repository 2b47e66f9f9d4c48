"""The weekly run on Prefect: the steps of ``two-tower run``, a task each.

``prefect deployment run weekly-two-tower/weekly-two-tower`` (``make prefect`` sets that up), or
without a deployment ``python flows/weekly_two_tower.py``.
"""

from typing import Any

from prefect import flow

from two_tower import orchestration, pipeline


@flow(name="weekly-two-tower")
def weekly_two_tower() -> Any:
    """Load, build, train, evaluate, export, embed and release."""
    return orchestration.walk("weekly-two-tower", pipeline.STEPS)


if __name__ == "__main__":
    weekly_two_tower()
