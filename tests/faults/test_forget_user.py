"""A person is forgotten: everywhere, for good, and nobody else with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conftest import CATALOGUE, MakeDataDir
from faults.invariants import latest_matches
from two_tower.artifacts.export import export
from two_tower.artifacts.registry import Registry
from two_tower.core.settings import Settings
from two_tower.data import sample_data
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.evaluation.evaluate import evaluate
from two_tower.operations import setup
from two_tower.operations.forget_user import forget
from two_tower.serving.embed import embed
from two_tower.serving.release import release
from two_tower.training.train import TrainConfig, train

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def load_files(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        load(settings, warehouse)


def build(settings: Settings) -> None:
    dbt.run(settings, "build", "--exclude-resource-type", "unit_test")


def texts(warehouse: Warehouse) -> Iterator[tuple[str, str]]:
    """Every row of every table of the database, as text, with the table's name."""
    for row in warehouse.fetch(
        "select table_schema, table_name from information_schema.tables"
        " where table_schema not in ('information_schema', 'pg_catalog')"
        " and table_type = 'BASE TABLE'"
    ):
        name = f'"{row["table_schema"]}"."{row["table_name"]}"'
        for found in warehouse.fetch(f"select cast(t as text) as text from {name} as t"):
            yield name, found["text"]


def tables_that_name(settings: Settings, user_id: str) -> set[str]:
    with open_warehouse(settings) as warehouse:
        return {name for name, text in texts(warehouse) if user_id in text}


def files_that_name(folder: Path, user_id: str) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            if user_id in pq.read_table(path).column(0).to_pylist():
                found.append(path.name)
        elif path.is_file() and user_id.encode() in path.read_bytes():
            found.append(path.name)
    return found


def test_forget_after_a_release(
    either_settings: Settings, dbt_target: Path, tmp_path: Path
) -> None:
    """a person asks to be forgotten; then the same files are delivered again"""
    settings = either_settings
    setup.prepare(settings)
    sample_data.generate(settings.path(settings.data_dir), reviews=2_000)
    load_files(settings)
    build(settings)
    version = train(settings, TrainConfig(epochs=2)).version
    evaluate(settings, version)
    export(settings, version)
    embed(settings, version)
    release(settings)
    with open_warehouse(settings) as warehouse:
        rows = warehouse.fetch(
            "select user_id from two_tower.evaluation_users order by"
            " user_id in (select id from raw.users) desc, user_id limit 1"
        )
        user_id = str(rows[0]["user_id"])
        # What a release before this one left, and a rejected line of the same person.
        warehouse.execute(
            "insert into public.user_embeddings_previous select * from public.user_embeddings"
        )
        warehouse.execute(
            "insert into raw.rejected_reviews values ('f', 1, 'bad', ?), ('f', 2, 'bad', ?)",
            (f'https://e/1, "{user_id}",9', f"https://e/1,{user_id}0,9"),
        )
        warehouse.execute("insert into raw.review_files values ('f', '', '', 2, 0, 2, now(), 1)")
        people = warehouse.fetch("select count(*) as n from two_tower.user_features")[0]["n"]
    features = settings.path(Path(settings.registry_url)) / "models/user_features.parquet"
    assert tables_that_name(settings, user_id) > {'"raw"."reviews"', '"public"."user_embeddings"'}
    assert files_that_name(settings.path(settings.runs_dir), user_id)

    result = forget(settings, user_id)

    assert result.rows["raw.reviews"] > 0
    assert result.csv_files
    neighbour = f"{user_id}0"  # of the rejected line, whose name holds this one
    with open_warehouse(settings) as warehouse:
        found = {(name, text) for name, text in texts(warehouse) if user_id in text}
        assert all(neighbour in text for _, text in found)
        left = warehouse.fetch("select count(*) as n from two_tower.user_features")
        (record,) = warehouse.fetch("select * from raw.forgotten_users")
    assert left[0]["n"] == people - 1
    assert len(record["user_hash"]) == 64
    assert user_id not in json.dumps(record, default=str)
    assert json.loads(record["removed"])["rows"] == result.rows
    assert files_that_name(tmp_path / "runs", user_id) == []
    assert files_that_name(tmp_path / "artifacts", user_id) == []
    assert pq.read_metadata(features).num_rows == people - 1
    assert latest_matches(Registry(settings)) == version
    described = Registry(settings).latest()["model_meta"]["feature_files"]
    assert described["user_features.parquet"]["rows"] == people - 1

    again = forget(settings, user_id)
    assert (again.rows, again.files) == ({}, [])
    assert again.forgotten_at == result.forgotten_at

    # The same files, as if for the first time; then everything is made of them anew.
    with open_warehouse(settings) as warehouse:
        warehouse.execute("delete from raw.review_files where file <> 'f'")
        for table in ("reviews", "rejected_reviews"):
            warehouse.execute(f"delete from raw.{table} where file <> 'f'")
        warehouse.execute("delete from raw.catalogue_files")
    load_files(settings)
    build(settings)  # whose tests count every row of every file
    with open_warehouse(settings) as warehouse:
        found = {(name, text) for name, text in texts(warehouse) if user_id in text}
        assert all(neighbour in text for _, text in found)
        reasons: list[dict[str, Any]] = warehouse.fetch(
            "select row_text from raw.rejected_reviews"
            " where reason = 'the reviewer asked to be forgotten'"
        )
    assert len(reasons) == result.rows["raw.reviews"]
    assert {row["row_text"] for row in reasons} == {""}


def test_forget_keeps_the_app_s_own_table_out(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path
) -> None:
    """a forgotten person is still in the app's own table of users"""
    make_data_dir()
    load_files(either_settings)
    forget(either_settings, "u2")
    with open_warehouse(either_settings) as warehouse:
        assert warehouse.fetch("select id from raw.users") == [{"id": "u1"}]
        warehouse.execute("insert into raw.users (id) values ('u2'), ('u3')")
    dbt.run(either_settings, "run", "--select", "stg_users")
    with open_warehouse(either_settings) as warehouse:
        rows = warehouse.fetch("select user_id from two_tower.stg_users order by 1")
    assert [row["user_id"] for row in rows] == ["u1", "u3"]
    assert "u2" in CATALOGUE["users.csv"]


def test_forget_nobody(either_settings: Settings) -> None:
    """an id that was never there is forgotten"""
    with open_warehouse(either_settings) as warehouse:
        ddl.ensure_all(warehouse)
    result = forget(either_settings, 'nobody\'s "name", 100% wrong')
    assert (result.rows, result.files, result.csv_files) == ({}, [], [])
