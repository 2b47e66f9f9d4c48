from pathlib import Path

import pytest

from two_tower import tables
from two_tower.errors import InputError
from two_tower.settings import Settings
from two_tower.warehouse import DuckDBWarehouse, open_warehouse


def test_every_table_is_made_and_making_it_again_changes_nothing(either_settings: Settings) -> None:
    with open_warehouse(either_settings) as warehouse:
        tables.ensure_all(warehouse)
        warehouse.execute("insert into raw.tags values ('1', 'x')")
        tables.ensure_all(warehouse)
        for table in ("reviews", "rejected_reviews", "review_files", "videos", "users"):
            assert warehouse.relation_exists("raw", table)
        assert warehouse.relation_exists("two_tower", "user_embeddings_landing")
        assert warehouse.relation_exists("two_tower", "evaluation_metrics")
        assert warehouse.fetch("select count(*) as n from raw.tags") == [{"n": 1}]


def test_a_duckdb_file_may_not_be_named_like_a_schema(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ambiguous"):
        DuckDBWarehouse(str(tmp_path / "two_tower.duckdb"))
