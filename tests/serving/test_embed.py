from pathlib import Path

import numpy as np
import pytest
import tiny_model
from serving_world import video_id

from two_tower.core.errors import GateError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.serving.embed import embed

USERS = """
create table two_tower.user_feature_slots
    (user_id text, feature_ids smallint[], indices integer[], "values" real[])
"""


def make_users(warehouse: Warehouse) -> None:
    """u1 likes videos 0 and 2; u2 has a token that came after the model; u3 has a count alone."""
    warehouse.execute(USERS)
    warehouse.execute(
        "insert into two_tower.user_feature_slots values"
        " ('u1', array[1, 1], array[0, 2], array[1, 1]),"
        " ('u2', array[1, 1], array[3, 99], array[1, 1]),"
        " ('user three', array[2], array[0], array[2.5])"
    )


@pytest.fixture
def ready(either_settings: Settings, tmp_path: Path) -> Settings:
    with open_warehouse(either_settings) as warehouse:
        tiny_model.make_feature_tables(warehouse, [video_id(number) for number in range(6)])
        make_users(warehouse)
    tiny_model.publish(either_settings, "20260101_000001", tmp_path)
    return either_settings


def landed(settings: Settings) -> dict[str, np.ndarray]:
    with open_warehouse(settings) as warehouse:
        rows = warehouse.fetch(
            "select user_id as id, cast(embedding as text) as v"
            " from two_tower.user_embeddings_landing union all"
            " select cast(video_id as text), cast(embedding as text)"
            " from two_tower.video_embeddings_landing"
        )
    return {row["id"]: np.array(eval(row["v"]), dtype=np.float32) for row in rows}


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_every_user_and_video_is_landed_with_the_vector_of_its_features(ready: Settings) -> None:
    result = embed(ready)
    assert (result.version, result.users, result.videos) == ("20260101_000001", 3, 6)
    weights, vectors = tiny_model.weights(), landed(ready)
    expected = {
        "u1": weights["user"][0] + weights["user"][2],
        "u2": weights["user"][3],
        "user three": weights["user"][4],
        video_id(1): weights["item"][1] + 2 * weights["item"][4],
        video_id(5): weights["item"][4],  # not in the vocabulary when the model was made
    }
    for key, vector in expected.items():
        assert np.allclose(vectors[key], unit(vector), atol=1e-3), key
    assert len(vectors) == 9


def test_a_model_of_other_features_is_refused(ready: Settings, tmp_path: Path) -> None:
    tiny_model.publish(ready, "20260101_000002", tmp_path, layout_hash="another")
    with pytest.raises(GateError, match="input schema"):
        embed(ready)
    assert embed(ready, "20260101_000001").users == 3


def test_weights_that_onnx_runtime_does_not_agree_with_are_refused(
    ready: Settings, tmp_path: Path
) -> None:
    embed(ready)
    with open_warehouse(ready) as warehouse:
        warehouse.execute(
            'update two_tower.user_feature_slots set feature_ids = array[1, 2], "values" ='
            " array[1, 1], indices = array[0, 0] where user_id = 'u1'"
        )
    tiny_model.publish(ready, "20260101_000002", tmp_path, shrinkage=0)
    with pytest.raises(GateError, match=r"ONNX Runtime .* 3 users differ by 0\.\d+ from"):
        embed(ready)
    assert np.allclose(landed(ready)["u2"], unit(tiny_model.weights()["user"][3]), atol=1e-3)
    tiny_model.publish(ready, "20260101_000003", tmp_path, shrinkage=4)
    assert embed(ready).users == 3


def test_a_user_of_whom_nothing_is_known_has_no_vector(ready: Settings) -> None:
    before = embed(ready)
    with open_warehouse(ready) as warehouse:
        warehouse.execute(
            "insert into two_tower.user_feature_slots values ('nothing', array[2], array[0],"
            " array[0])"
        )
    after = embed(ready)
    assert (before.users_without, after.users_without) == (0, 1)
    assert after.users == before.users
    assert "nothing" not in landed(ready)


def test_a_video_without_a_direction_is_counted_and_refused(ready: Settings) -> None:
    embed(ready)
    before = landed(ready)
    with open_warehouse(ready) as warehouse:
        warehouse.execute(
            'update two_tower.item_feature_slots set "values" = array[0, 0]'
            f" where video_id = '{video_id(3)}'"
        )
    with pytest.raises(GateError, match="1 of 6 items"):
        embed(ready)
    assert landed(ready).keys() == before.keys()


def test_a_model_that_knows_nothing_of_anybody_is_refused(ready: Settings) -> None:
    with open_warehouse(ready) as warehouse:
        warehouse.execute(
            "update two_tower.user_feature_slots set feature_ids = array[2], indices = array[0],"
            ' "values" = array[0]'
        )
    with pytest.raises(GateError, match="3 of 3 users"):
        embed(ready)


def test_without_features_there_is_nothing_to_embed(ready: Settings) -> None:
    with open_warehouse(ready) as warehouse:
        warehouse.execute("delete from two_tower.item_feature_slots")
    with pytest.raises(NotEnoughDataError, match="item_feature_slots is empty"):
        embed(ready)


def test_parquet_of_another_warehouse_gives_the_same_vectors(
    duckdb_settings: Settings, tmp_path: Path
) -> None:
    with open_warehouse(duckdb_settings) as warehouse:
        tiny_model.make_feature_tables(warehouse, [video_id(number) for number in range(6)])
        make_users(warehouse)
    tiny_model.publish(duckdb_settings, "20260101_000001", tmp_path)
    embed(duckdb_settings)
    expected = landed(duckdb_settings)
    read = ("feature_layout", "feature_layout_versions", "item_feature_slots", "user_feature_slots")
    with open_warehouse(duckdb_settings) as warehouse:
        for table in read:
            folder = tmp_path / "features" / table
            folder.mkdir(parents=True)
            warehouse.execute(f"copy two_tower.{table} to '{folder}/all.parquet' (format parquet)")
            warehouse.execute(f"drop table two_tower.{table}")
        warehouse.execute("truncate two_tower.user_embeddings_landing")
    embed(duckdb_settings.model_copy(update={"features_url": str(tmp_path / "features")}))
    found = landed(duckdb_settings)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
