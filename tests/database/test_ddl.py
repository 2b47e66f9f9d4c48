from pathlib import Path

import pytest

from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import DuckDBWarehouse, open_warehouse


def test_every_table_is_made_and_making_it_again_changes_nothing(either_settings: Settings) -> None:
    with open_warehouse(either_settings) as warehouse:
        ddl.ensure_all(warehouse)
        warehouse.execute("insert into raw.tags values ('1', 'x')")
        ddl.ensure_all(warehouse)
        for table in ("reviews", "rejected_reviews", "review_files", "videos", "users"):
            assert warehouse.relation_exists("raw", table)
        assert warehouse.relation_exists("two_tower", "user_embeddings_landing")
        assert warehouse.relation_exists("two_tower", "evaluation_metrics")
        assert warehouse.fetch("select count(*) as n from raw.tags") == [{"n": 1}]


def test_tables_of_an_older_version_get_the_new_columns(either_settings: Settings) -> None:
    with open_warehouse(either_settings) as warehouse:
        warehouse.execute("create schema two_tower")
        warehouse.execute("create table two_tower.evaluation_runs (run_id text, split text)")
        warehouse.execute("create table two_tower.evaluation_metrics (run_id text, value float)")
        warehouse.execute("insert into two_tower.evaluation_runs values ('old', 'random')")
        ddl.ensure_evaluation(warehouse)
        assert warehouse.fetch(
            "select r.run_id, r.protocol, r.split_seed, m.lower, m.upper"
            " from two_tower.evaluation_runs as r"
            " left join two_tower.evaluation_metrics as m on m.run_id = r.run_id"
        ) == [{"run_id": "old", "protocol": None, "split_seed": None, "lower": None, "upper": None}]


def test_a_duckdb_file_may_not_be_named_like_a_schema(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ambiguous"):
        DuckDBWarehouse(str(tmp_path / "two_tower.duckdb"))
