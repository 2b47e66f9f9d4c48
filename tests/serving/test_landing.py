from contextlib import suppress

import numpy as np
import pyarrow as pa

from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.serving import landing

VIDEO = "123e4567-e89b-42d3-a456-426614174000"


def unit_vectors(rows: int) -> np.ndarray:
    vectors = np.random.default_rng(1).standard_normal((rows, 128)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_ids_of_every_length_and_both_kinds_arrive_with_their_vectors(
    either_settings: Settings,
) -> None:
    users = ["a", "山田", "", "user_10", "b", "x" * 3000]
    vectors = unit_vectors(len(users))
    sliced = pa.array(["not this", *users]).slice(1)
    with open_warehouse(either_settings) as warehouse:
        ddl.ensure_landing(warehouse)
        with warehouse.transaction():
            assert landing.write(warehouse, "user", "v1", [(sliced, vectors)]) == len(users)
            landing.write(warehouse, "item", "v1", [(pa.array([VIDEO]), vectors[:1])])
        cast = "::text::real[]" if warehouse.dialect == "postgres" else "::float[]"
        rows = warehouse.fetch(
            f"select user_id, replace(replace(embedding::text, '[', '{{'), ']', '}}'){cast} as v,"
            " version from two_tower.user_embeddings_landing"
            if warehouse.dialect == "postgres"
            else "select user_id, embedding as v, version from two_tower.user_embeddings_landing"
        )
        video = warehouse.fetch(
            "select cast(video_id as text) as id from two_tower.video_embeddings_landing"
        )
    landed = {row["user_id"]: row["v"] for row in rows}
    assert {row["version"] for row in rows} == {"v1"}
    assert [row["id"] for row in video] == [VIDEO]
    for user, vector in zip(users, vectors, strict=True):
        assert np.array_equal(np.float16(landed[user]), vector.astype(np.float16))


def test_a_failure_leaves_the_former_landing(either_settings: Settings) -> None:
    with open_warehouse(either_settings) as warehouse:
        ddl.ensure_landing(warehouse)
        landing.write(warehouse, "user", "v1", [(pa.array(["a"]), unit_vectors(1))])

        def breaks():  # type: ignore[no-untyped-def]
            yield pa.array(["b"]), unit_vectors(1)
            raise RuntimeError

        with suppress(RuntimeError), warehouse.transaction():
            landing.clear(warehouse)
            landing.write(warehouse, "user", "v2", breaks())
        rows = warehouse.fetch("select user_id from two_tower.user_embeddings_landing")
    assert [row["user_id"] for row in rows] == ["a"]
