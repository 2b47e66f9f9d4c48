"""The history of releases, ``two_tower.model_releases``: the last row is the serving one."""

from __future__ import annotations

from typing import Any

from two_tower.database.warehouse import Warehouse

LATEST = "select * from two_tower.model_releases order by release_id desc"


def last_releases(warehouse: Warehouse, count: int | None = None) -> list[dict[str, Any]]:
    """Return the last rows of the history, the serving one first; none before the first release.

    Args:
        warehouse: the database.
        count: at most this many; by default all.
    """
    if not warehouse.relation_exists("two_tower", "model_releases"):
        return []
    return warehouse.fetch(LATEST if count is None else f"{LATEST} limit {count}")


def serving_version(warehouse: Warehouse) -> str | None:
    """Return the serving version; None before the first release."""
    rows = last_releases(warehouse, 1)
    return str(rows[0]["version"]) if rows else None
