"""Whole protocols on generated data: a schema and a model of their own, and what they find."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import folders, make_settings
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.data import sample_data
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.operations.protocols import build, evaluate_protocol, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("protocols")]

REVIEWS = 3_000
SLICES = {
    "temporal": {"overall"},
    "cold-items": {"overall", "among_cold_items"},
    "cold-users": {"0_likes", "1_like", "3_likes", "5_likes"},
}


def prepared(settings: Settings) -> Settings:
    """Load generated data and build what serves, as a project has it."""
    sample_data.generate(settings.path(settings.data_dir), reviews=REVIEWS)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)
    dbt.run(settings, "build", "--exclude-resource-type", "unit_test", "test")
    return settings


@pytest.fixture(scope="module")
def duckdb(tmp_path_factory: pytest.TempPathFactory, dbt_target: Path) -> Settings:
    folder = tmp_path_factory.mktemp("protocols")
    path = folder / "warehouse.duckdb"
    return prepared(make_settings("duckdb", duckdb_path=path, **folders(folder)))


def contents(settings: Settings) -> dict[str, Any]:
    """Return the rows of what serves, and the functions the app calls."""
    with open_warehouse(settings) as warehouse:
        found: dict[str, Any] = {}
        for row in warehouse.fetch(
            "select table_schema as s, table_name as t from information_schema.tables"
            " where table_schema in ('two_tower', 'public') and table_name not like 'evaluation_%s'"
        ):
            name = f"{row['s']}.{row['t']}"
            found[name] = warehouse.fetch(f"select count(*) as n from {name}")
        found["splits"] = warehouse.fetch(
            "select user_id, cast(item_id as text) as item_id, split, fold"
            " from two_tower.interaction_splits order by 1, 2"
        )
        if warehouse.dialect == "postgres":
            found["functions"] = warehouse.fetch(
                "select proname, prosrc from pg_proc where pronamespace = 'public'::regnamespace"
                " order by proname, prosrc"
            )
        else:
            found["functions"] = warehouse.fetch(
                "select function_name, macro_definition from duckdb_functions()"
                " where schema_name = 'public' order by 1"
            )
    return found


def split_of(settings: Settings, schema: str) -> list[dict[str, Any]]:
    with open_warehouse(settings) as warehouse:
        return warehouse.fetch(
            "select user_id, cast(item_id as text) as item_id, split, fold"
            f" from {schema}.interaction_splits order by md5(user_id), 2"
        )


@pytest.mark.parametrize("protocol", ["temporal", "cold-users"])
def test_a_protocol_goes_the_whole_way_beside_what_serves(protocol: str, duckdb: Settings) -> None:
    before = contents(duckdb)
    result = evaluate_protocol(duckdb, protocol)  # type: ignore[arg-type]
    assert contents(duckdb) == before
    (run,) = result.runs
    assert run.version.startswith(f"{protocol}/")
    assert (duckdb.path(duckdb.runs_dir) / run.version / "user_metrics.parquet").exists()
    # The model was trained on this split, not on the one that serves.
    trained = json.loads((duckdb.path(duckdb.runs_dir) / run.version / "result.json").read_text())
    schema = settings_of(duckdb, protocol).schema_name  # type: ignore[arg-type]
    with open_warehouse(duckdb) as warehouse:
        reviews = warehouse.fetch(
            "select (select count(*) from two_tower.interaction_splits where split = 'train') as l,"
            f" (select count(*) from {schema}.interaction_splits where split = 'train') as p"
        )[0]
    assert trained["reviews"] == reviews["p"] != reviews["l"]
    for model in ("two_tower", "popularity", "item_knn"):
        for name in SLICES[protocol]:
            beyond = run.metrics[model][name]
            assert 0 < beyond["diversity"] < 1  # type: ignore[operator]
            if name == "0_likes":  # there is no taste to compare with
                assert beyond["calibration"] is None
            else:
                assert 0 < beyond["calibration"] < 4.7  # type: ignore[operator]
    assert result.mean == run.metrics
    with open_warehouse(duckdb) as warehouse:
        rows = warehouse.fetch(
            "select split, protocol, split_seed, users from two_tower.evaluation_runs"
            f" where run_id = '{run.version}'"
        )
        written = warehouse.fetch(
            "select distinct slice from two_tower.evaluation_metrics"
            f" where run_id = '{run.version}'"
        )
    expected = {"split": protocol, "protocol": protocol, "split_seed": "two-tower"}
    assert rows == [{**expected, "users": run.users}]
    assert {row["slice"] for row in written} == set(run.metrics["two_tower"])


def test_another_seed_is_another_split_and_names_no_video_of_the_one_before(
    duckdb: Settings,
) -> None:
    before = contents(duckdb)
    result = evaluate_protocol(duckdb, "cold-items", ["a", "b"])
    assert contents(duckdb) == before
    assert set(result.runs[0].metrics["two_tower"]) >= SLICES["cold-items"]
    assert [run.split_seed for run in result.runs] == ["a", "b"]
    first, second = (run.metrics["two_tower"]["overall"]["mrr"] for run in result.runs)
    assert first != second
    assert result.mean["two_tower"]["overall"]["mrr"] == pytest.approx((first + second) / 2)
    assert result.spread["two_tower"]["overall"]["mrr"] == pytest.approx(
        abs(first - second) / 2**0.5
    )
    with open_warehouse(duckdb) as warehouse:
        named = warehouse.fetch(
            "select count(*) as n from two_tower_cold_items.vocab_video as v"
            " inner join two_tower_cold_items.interaction_splits as s"
            " on cast(s.item_id as text) = v.token where s.split != 'train'"
        )
    assert named == [{"n": 0}]


def test_nothing_of_cold_users_trains(duckdb: Settings) -> None:
    build(settings_of(duckdb, "cold-users"), "cold-users", "another")
    with open_warehouse(duckdb) as warehouse:
        known = warehouse.fetch(
            "select count(*) as n from two_tower_cold_users.training_users as t"
            " inner join two_tower_cold_users.evaluation_users as e on e.user_id = t.user_id"
        )
        reviews = warehouse.fetch(
            "select sum(train_review_count) as n from two_tower_cold_users.evaluation_items"
            " union all select count(*) from two_tower_cold_users.interaction_splits"
            " where split = 'train'"
        )
        shown = warehouse.fetch(
            "select like_count, count(*) as users, min(cardinality(s.item_numbers)) as fewest,"
            " max(cardinality(s.item_numbers)) as most"
            " from two_tower_cold_users.evaluation_cold_users as s group by 1 order by 1"
        )
    assert known == [{"n": 0}]
    assert reviews[0] == reviews[1]
    assert [(row["like_count"], row["fewest"], row["most"]) for row in shown] == [
        (0, 0, 0),
        (1, 1, 1),
        (3, 3, 3),
        (5, 5, 5),
    ]
    assert len({row["users"] for row in shown}) == 1


def test_a_protocol_on_postgres_leaves_the_app_alone_and_splits_alike(
    duckdb: Settings, clean_postgres: Settings, dbt_target: Path
) -> None:
    settings = prepared(clean_postgres)
    before = contents(settings)
    result = evaluate_protocol(settings, "cold-users")
    assert contents(settings) == before
    assert "recommend_videos" in json.dumps(before["functions"])
    assert set(result.runs[0].metrics["two_tower"]) == SLICES["cold-users"]
    build(settings_of(duckdb, "cold-users"), "cold-users", None)
    schema = "two_tower_cold_users"
    assert split_of(settings, schema) == split_of(duckdb, schema)
    cold = []
    for engine in (settings, duckdb):
        with open_warehouse(engine) as warehouse:
            cold.append(
                warehouse.fetch(
                    "select user_id, like_count, feature_ids, indices, item_numbers"
                    f" from {schema}.evaluation_cold_users order by md5(user_id), like_count"
                )
            )
    assert cold[0]
    assert cold[0] == cold[1]
    with open_warehouse(settings) as warehouse:
        warehouse.execute(f"drop schema {schema} cascade")


def test_a_strategy_that_is_none_is_refused_and_the_others_are_named(
    duckdb: Settings,
) -> None:
    with pytest.raises(InputError, match=r"split_strategy is 'future'; .* leave_last_out"):
        dbt.run(duckdb, "parse", "--vars", '{"split_strategy": "future"}')


def test_the_live_schema_is_never_that_of_a_protocol(duckdb_settings: Settings) -> None:
    settings = settings_of(duckdb_settings, "temporal")
    with pytest.raises(InputError, match="TWO_TOWER_SCHEMA"):
        evaluate_protocol(settings, "temporal")
