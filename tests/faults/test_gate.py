"""What the gate in front of a release lets by and what it stops, on a real Postgres through dbt."""

from __future__ import annotations

import numpy as np
import pytest

from faults.invariants import Served, answers_of_one_release, latest_matches, served
from postgres_server import PostgresServer
from serving import tiny_model
from serving.serving_world import World, clustered, make_world, video_id
from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.core.errors import GateError
from two_tower.core.settings import Settings
from two_tower.database import dbt
from two_tower.database.warehouse import PostgresWarehouse, open_warehouse
from two_tower.operations import setup
from two_tower.serving import slot_vectors
from two_tower.serving.embed import embed
from two_tower.serving.recommender import Recommender
from two_tower.serving.release import release
from two_tower.serving.release_gate import check_artifacts

pytestmark = [
    pytest.mark.faults,
    pytest.mark.quick,
    pytest.mark.slow,
    pytest.mark.xdist_group("gate"),
]

FIRST = "20260101_000001"


@pytest.fixture(scope="module")
def world(postgres_settings: Settings, postgres_dsn: str, dbt_target: object) -> World:
    """A first release, so that something serves."""
    setup.prepare(postgres_settings)
    database = PostgresWarehouse(postgres_dsn)
    database.execute("drop schema if exists raw, two_tower, public cascade")
    database.execute("create schema public")
    database.close()
    made = make_world(postgres_settings)
    made.land(FIRST)
    release(postgres_settings)
    return made


@pytest.fixture
def before(world: World, postgres_dsn: str) -> Served:
    return served(postgres_dsn)


def failed(world: World) -> dict[str, str | None]:
    """The failed checks of the last attempt, and their notes."""
    with open_warehouse(world.settings) as warehouse:
        rows = warehouse.fetch(
            "select check_name, note from two_tower.promotion_checks where not passed"
            " and attempt = (select max(attempt) from two_tower.promotion_checks)"
        )
    return {row["check_name"]: row["note"] for row in rows}


def assert_stopped(world: World, dsn: str, before: Served, *checks: str) -> str:
    """Release what is landed: it is refused for these checks alone, and nothing else changes."""
    with pytest.raises(GateError) as refused:
        release(world.settings)
    assert set(failed(world)) == set(checks)
    for name in checks:
        assert name in str(refused.value)
    answers_of_one_release(dsn, [before])
    assert latest_matches(Registry(world.settings)) == before.version
    return str(refused.value)


def test_the_rules_of_the_gate(world: World) -> None:
    """the unit tests of what a release is judged and searched by, on this engine"""
    done = dbt.run(world.settings, "test", "--select", "serving,test_type:unit")
    assert done.tests_passed == 8


def test_the_first_release(world: World) -> None:
    """a first release, with nothing to compare with"""
    with open_warehouse(world.settings) as warehouse:
        rows = warehouse.fetch(
            "select check_name, threshold, passed, note from two_tower.promotion_checks"
            f" where version = '{FIRST}' and check_name like 'serving:%'"
        )
    assert len(rows) == 10
    assert all(row["passed"] and row["threshold"] is None for row in rows)
    assert {row["note"] for row in rows} == {"the first release: nothing to compare with"}


def test_worse_for_new_users(world: World, postgres_dsn: str, before: Served) -> None:
    """a model good on average and bad for new users"""
    world.land("20260102_000001")
    world.judge("20260102_000001", overall=(0.3, 0.08, 0.12), new_users=(0.1, -0.12, -0.08))
    text = assert_stopped(
        world,
        postgres_dsn,
        before,
        "serving:ndcg@10:new_users",
        "serving:recall@20:new_users",
    )
    assert "is 0.1, at least 0.196 is required (short by 0.096)" in text


def test_not_ahead_of_popularity(world: World, postgres_dsn: str, before: Served) -> None:
    """a model ahead of popularity by no more than chance"""
    world.land("20260102_000002")
    world.judge("20260102_000002", popularity=(0.21, -0.01, 0.03))
    assert_stopped(world, postgres_dsn, before, "popularity:ndcg@10")


def test_not_evaluated(world: World, postgres_dsn: str, before: Served) -> None:
    """a version that was never evaluated"""
    world.land("20260102_000003")
    with open_warehouse(world.settings) as warehouse:
        for table in ("evaluation_runs", "evaluation_metrics", "evaluation_comparisons"):
            warehouse.execute(f"delete from two_tower.{table} where run_id = '20260102_000003'")
    with pytest.raises(GateError, match="two-tower evaluate has not measured this version"):
        release(world.settings)
    assert "evaluated" in failed(world)
    answers_of_one_release(postgres_dsn, [before])


def test_collapsed_vectors(world: World, postgres_dsn: str, before: Served) -> None:
    """collapsed vectors: all videos nearly alike"""
    videos = clustered(world.videos, 5) * 0.05
    videos[:, 0] += 1
    world.land("20260102_000004", videos=videos / np.linalg.norm(videos, axis=1, keepdims=True))
    said = assert_stopped(world, postgres_dsn, before, "mean_cosine:videos")
    assert "TWO_TOWER_TRAIN__STEPS" in said  # what to change


@pytest.mark.parametrize("kind", ["truncated", "bit flipped", "emptied", "an HTML page", "gone"])
@pytest.mark.parametrize("suffix", ["onnx", "pt.gz"])
def test_damaged_artifact(
    world: World, postgres_dsn: str, before: Served, kind: str, suffix: str
) -> None:
    """an artifact of the version truncated, bit-flipped, emptied, an HTML page, or gone"""
    version = "20260102_000005"
    if version not in Registry(world.settings).versions():
        world.land(version)
    storage = Registry(world.settings).storage
    name = f"two_tower_{version}.{suffix}"
    content = storage.read(name)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    damaged = {
        "truncated": content[:-7],
        "bit flipped": bytes(flipped),
        "emptied": b"",
        "an HTML page": b"<!doctype html><title>Sign in</title>",
    }
    if kind == "gone":
        storage.remove(name)
    else:
        storage.write(name, damaged[kind])
    try:
        with open_warehouse(world.settings) as warehouse:
            check_artifacts(world.settings, warehouse, version)
            rows = warehouse.fetch(
                "select check_name, value, note from two_tower.artifact_checks"
                f" where version = '{version}'"
            )
        values = {row["check_name"]: row["value"] for row in rows}
        assert values == {"registry:damaged_files": 1, "registry:onnx_parity": None}
        assert all(name in row["note"] for row in rows)
        if (kind, suffix) == ("truncated", "onnx"):  # the others go the same way from here
            checks = ("registry:damaged_files", "registry:onnx_parity")
            assert_stopped(world, postgres_dsn, before, *checks)
    finally:
        storage.write(name, content)


def test_layout_changed(world: World, postgres_dsn: str, before: Served) -> None:
    """the layout of the features changed under the serving model"""
    with open_warehouse(world.settings) as warehouse:
        tiny_model.make_feature_tables(warehouse, [video_id(number) for number in range(6)])
        warehouse.execute(
            "insert into two_tower.user_feature_slots"
            " values ('late', array[1, 1], array[0, 2], array[1, 1])"
        )
        with warehouse.transaction():
            encoder = Encoder(Registry(world.settings).fetch(FIRST))
            slot_vectors.land(warehouse, encoder, None)

    def recommended() -> tuple[list[str], set[str]]:
        with Recommender(world.settings) as recommender:
            rows = recommender.recommend("late", 5)
        return [row.video_id for row in rows], {row.source for row in rows}

    popular = [video_id(number) for number in range(5)]
    found, sources = recommended()
    assert found != popular, "the model of the release encodes who came after it"
    assert sources == {"model"}
    with open_warehouse(world.settings) as warehouse:
        warehouse.execute("update two_tower.feature_layout set layout_hash = 'another'")
        warehouse.execute(
            "insert into two_tower.feature_layout_versions"
            " values (2, 'another', timestamp '2026-01-02')"
        )
    assert recommended() == (popular, {"popular"})
    with pytest.raises(GateError, match="was trained on input schema 1"):
        embed(world.settings)
    answers_of_one_release(postgres_dsn, [before])
    with open_warehouse(world.settings) as warehouse:
        warehouse.execute("delete from two_tower.user_feature_slots where user_id = 'late'")


BROKEN = """
create function public.break() returns event_trigger language plpgsql as $$ begin
    if to_regclass('two_tower.video_embeddings_next') is null then
        delete from two_tower.popularity;
        delete from public.video_embeddings;
    end if;
end $$;
create event trigger break on ddl_command_end when tag in ('ALTER FUNCTION')
    execute function public.break()
"""


def test_no_answer_after_the_swap(
    world: World, postgres_server: PostgresServer, postgres_dsn: str, before: Served
) -> None:
    """the new tables give the app no answer: the swap is undone before anybody sees it"""
    world.land("20260102_000006")
    database = postgres_dsn.rpartition("/")[2]
    postgres_server.as_superuser(BROKEN, database=database)  # an event trigger is a superuser's
    try:
        with pytest.raises(GateError, match="no answer for a user with a vector"):
            release(world.settings)
    finally:
        mended = ("drop event trigger break", "drop function public.break()")
        postgres_server.as_superuser(*mended, database=database)
    assert answers_of_one_release(postgres_dsn, [before]) == before
    assert latest_matches(Registry(world.settings)) == before.version


def test_what_passes_is_released(world: World, postgres_dsn: str, before: Served) -> None:
    """a release after all those that were refused"""
    world.land("20260102_000009")
    release(world.settings)
    assert answers_of_one_release(postgres_dsn).version == "20260102_000009"
    assert failed(world) == {}
    assert latest_matches(Registry(world.settings)) == "20260102_000009"
