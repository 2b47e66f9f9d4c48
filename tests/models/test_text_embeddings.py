"""A team's own text embeddings as a feature: of every type, on both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import VIDEOS, MakeDataDir
from two_tower.core.errors import DataError, InputError
from two_tower.core.settings import Settings
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.model.feature_rows import read_layout
from two_tower.operations import setup

pytestmark = pytest.mark.slow

TYPES = {
    "duckdb": ("float[]", "float[3]", "double[]"),
    "postgres": ("real[]", "vector", "vector(3)", "halfvec(3)", "double precision[]"),
}


def load_files(settings: Settings) -> None:
    setup.prepare(settings)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)


def land(settings: Settings, type_: str, vectors: dict[str, str]) -> None:
    """Load the files and make the table of vectors, written as ``1,2,3``, by video."""
    load_files(settings)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("drop table if exists raw.video_text_embeddings cascade")
        is_array = warehouse.dialect == "postgres" and type_.endswith("[]")
        if warehouse.dialect == "postgres" and not is_array:
            warehouse.execute("create extension if not exists vector")
            type_ = f"{ddl.pgvector_schema(warehouse)}.{type_}"
        warehouse.execute(
            f"create table raw.video_text_embeddings (video_id uuid primary key, embedding {type_})"
        )
        written = "{{{}}}" if is_array else "[{}]"
        for video, numbers in vectors.items():
            warehouse.execute(
                f"insert into raw.video_text_embeddings values (?, cast(? as {type_}))",
                (video, written.format(numbers)),
            )


def build(settings: Settings, **variables: Any) -> dbt.Built:
    chosen = ["--exclude-resource-type", "unit_test", "--indirect-selection", "buildable"]
    chosen += ["--select", "+item_feature_slots", "+feature_layout_versions"]
    return dbt.run(settings, "build", *chosen, "--vars", json.dumps(variables))


def slots(settings: Settings, feature_id: int = 112) -> dict[str, list[float]]:
    """Return the numbers of a feature by video, those that have any."""
    sql = 'select video_id, feature_ids, indices, "values" from two_tower.item_feature_slots'
    with open_warehouse(settings) as warehouse:
        found = {}
        for row in warehouse.fetch(sql):
            each = zip(row["feature_ids"], row["indices"], row["values"], strict=True)
            own = [(index, value) for id_, index, value in each if id_ == feature_id]
            assert [index for index, _ in own] == list(range(len(own)))
            if own:
                found[str(row["video_id"])] = [round(value, 4) for _, value in own]
        return found


def test_a_vector_of_any_type_is_a_feature_of_length_1(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path
) -> None:
    make_data_dir()
    # The last of no video, and one of length 0.
    stranger = "99999999-0000-4000-8000-000000000009"
    vectors = {VIDEOS[0]: "3,0,-4", VIDEOS[1]: "0,0,0", stranger: "1,1,1"}
    engine = "duckdb" if either_settings.target == "duckdb" else "postgres"
    for type_ in TYPES[engine]:
        land(either_settings, type_, vectors)
        build(either_settings, text_embedding_width=3)
        assert slots(either_settings) == {VIDEOS[0]: [0.6, 0.0, -0.8]}, type_
    with open_warehouse(either_settings) as warehouse:
        wide = read_layout(warehouse)
        assert wide.item[-1].kind == "dense"
        assert wide.item[-1].width == 3
    # Without the var there is no such feature, and the model of before still fits.
    build(either_settings)
    assert slots(either_settings) == {}
    with open_warehouse(either_settings) as warehouse:
        plain = read_layout(warehouse)
    assert [block.kind for block in plain.item].count("dense") == 0
    assert plain.layout_hash != wide.layout_hash
    assert plain.item == wide.item[:-1]


def test_vectors_of_another_width_end_the_build(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path, capfd: Any
) -> None:
    make_data_dir()
    engine = "duckdb" if either_settings.target == "duckdb" else "postgres"
    land(either_settings, TYPES[engine][0], {VIDEOS[0]: "3,0,-4", VIDEOS[1]: "1,2"})
    with pytest.raises(DataError, match="assert_text_embeddings_have_their_width"):
        build(either_settings, text_embedding_width=3)
    shown = capfd.readouterr().err
    assert f"video_id {VIDEOS[1]}, width 2, text_embedding_width 3" in shown
    assert f"video_id {VIDEOS[0]}" not in shown


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "null"])
def test_what_is_no_number_ends_the_build(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path, capfd: Any, wrong: str
) -> None:
    make_data_dir()
    engine = "duckdb" if either_settings.target == "duckdb" else "postgres"
    land(either_settings, TYPES[engine][0], {VIDEOS[0]: "3,0,-4", VIDEOS[1]: f"1,{wrong},2"})
    with pytest.raises(DataError, match="assert_text_embeddings_are_numbers"):
        build(either_settings, text_embedding_width=3)
    shown = capfd.readouterr().err
    assert f"video_id {VIDEOS[1]}" in shown
    assert f"video_id {VIDEOS[0]}" not in shown


@pytest.mark.parametrize("wrong", ["eight", -1, 1.5, True])
def test_a_var_that_is_no_width_is_refused(
    duckdb_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path, wrong: Any
) -> None:
    make_data_dir()
    with pytest.raises(InputError, match="write how many numbers a vector has, such as 768"):
        build(duckdb_settings, text_embedding_width=wrong)


def test_a_table_that_is_not_asked_for_is_not_read(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path
) -> None:
    make_data_dir()
    load_files(either_settings)
    with open_warehouse(either_settings) as warehouse:
        warehouse.execute("drop table if exists raw.video_text_embeddings cascade")
        warehouse.execute("create table raw.video_text_embeddings (video_id text)")
        warehouse.execute("insert into raw.video_text_embeddings values ('abc')")
    build(either_settings)
    with open_warehouse(either_settings) as warehouse:
        warehouse.execute("drop table raw.video_text_embeddings")


def test_without_a_table_the_var_gives_a_feature_that_nobody_has(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path
) -> None:
    make_data_dir()
    load_files(either_settings)
    built = build(either_settings, text_embedding_width=3)
    assert any("assert_text_embeddings_are_there" in text for text in built.warnings)
    assert slots(either_settings) == {}
