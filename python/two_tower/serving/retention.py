"""Removes old versions from the registry and the runs, but never the last two releases."""

from __future__ import annotations

import shutil

from two_tower.artifacts.registry import Registry
from two_tower.artifacts.runs import VERSION
from two_tower.core.settings import Settings
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import Warehouse

# A run is moved here before it is removed, so that a kill leaves no half of a run.
TRASH = ".removed"


def prune(settings: Settings, warehouse: Warehouse) -> list[str]:
    """Keep the newest ``keep_versions`` versions, the last two releases and the registry's latest.

    Returns:
        the versions that were removed from the registry or the runs.

    Raises:
        UnavailableError: the registry did not answer.
    """
    registry = Registry(settings)
    kept = {str(row["version"]) for row in last_releases(warehouse, 2)}
    if latest := registry.latest_version():
        kept.add(latest)
    published = registry.versions()
    removed = _too_old(registry.stored_versions(), published, kept, settings.keep_versions)
    for version in removed:
        registry.remove(version)
    runs_dir = settings.path(settings.runs_dir)
    runs = sorted(path.name for path in runs_dir.glob("*") if VERSION.fullmatch(path.name))
    old_runs = _too_old(runs, runs, kept, settings.keep_versions)
    shutil.rmtree(runs_dir / TRASH, ignore_errors=True)
    for version in old_runs:
        (runs_dir / TRASH).mkdir(exist_ok=True)
        (runs_dir / version).rename(runs_dir / TRASH / version)
    shutil.rmtree(runs_dir / TRASH, ignore_errors=True)
    gone = sorted({*removed, *old_runs})
    left = set(published) - set(removed)
    for version in set(gone) - left:
        warehouse.execute("delete from two_tower.evaluation_training where run_id = ?", (version,))
    _prune_distributions(warehouse, left | kept)
    return gone


def _prune_distributions(warehouse: Warehouse, kept: set[str]) -> None:
    """Delete the distributions of versions that can no longer be served: many rows each."""
    if not warehouse.relation_exists("two_tower", "released_distributions"):
        return
    rows = warehouse.fetch("select distinct version from two_tower.released_distributions")
    for version in {str(row["version"]) for row in rows} - kept:
        warehouse.execute(
            "delete from two_tower.released_distributions where version = ?", (version,)
        )


def _too_old(
    versions: list[str], complete: list[str], kept: set[str], keep_versions: int
) -> list[str]:
    """Return the versions older than the newest ``keep_versions`` complete ones, except ``kept``.

    Newer ones stay, even incomplete: another process may be writing them.
    """
    if len(complete) <= keep_versions:
        return []
    oldest = sorted(complete)[-keep_versions]
    return [version for version in versions if version < oldest and version not in kept]
