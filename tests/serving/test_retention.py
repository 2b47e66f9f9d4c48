"""What belongs to a version goes with it, and what the versions that may serve need stays."""

from __future__ import annotations

from pathlib import Path

from serving import tiny_model
from two_tower.artifacts.registry import Registry
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.serving import retention

VERSIONS = [f"2026010{day}_000000" for day in range(1, 6)]


def test_distributions_and_training_rows_go_with_their_versions(
    duckdb_settings: Settings, tmp_path: Path
) -> None:
    """The first version serves again after a rollback; the registry keeps the two newest."""
    settings = duckdb_settings.model_copy(update={"keep_versions": 2})
    for version in VERSIONS:
        tiny_model.publish(settings, version, tmp_path)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_evaluation(warehouse)
        warehouse.execute("create table two_tower.model_releases (release_id int, version text)")
        warehouse.execute(
            "create table two_tower.released_distributions (version text, feature text)"
        )
        # Of the oldest nothing else is left: a release was killed while it removed it.
        for number, version in enumerate(["20251231_000000", *VERSIONS]):
            warehouse.execute(
                "insert into two_tower.released_distributions values (?, 'tags'), (?, 'makers')",
                (version, version),
            )
            warehouse.execute(
                "insert into two_tower.evaluation_training values (?, 'u', [])", (version,)
            )
            warehouse.execute(
                "insert into two_tower.model_releases values (?, ?)", (number, version)
            )
        warehouse.execute("insert into two_tower.model_releases values (9, ?)", (VERSIONS[0],))

        removed = retention.prune(settings, warehouse)

        left = [VERSIONS[0], *VERSIONS[-2:]]
        assert removed == VERSIONS[1:3]
        assert Registry(settings).versions() == left
        rows = warehouse.fetch("select version from two_tower.released_distributions")
        assert sorted({row["version"] for row in rows}) == left
        rows = warehouse.fetch("select run_id from two_tower.evaluation_training")
        assert {row["run_id"] for row in rows} >= set(left)
        assert not {row["run_id"] for row in rows} & set(removed)
