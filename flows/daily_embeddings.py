"""The daily run on Prefect: what is new or has changed gets a vector from the serving model."""

from typing import Any

from prefect import flow

from two_tower.interfaces import prefect_flows
from two_tower.operations import pipeline


@flow(name="daily-embeddings")
def daily_embeddings() -> Any:
    """Load, build the features, and bring the served vectors up to them."""
    return prefect_flows.walk("daily-embeddings", pipeline.DAILY_STEPS)
