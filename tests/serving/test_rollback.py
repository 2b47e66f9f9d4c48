"""A rollback on DuckDB, through the command line and with a registry: tables, history, latest."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tiny_model

from forked import Ended, Forks
from two_tower.artifacts.registry import Registry
from two_tower.core.settings import Settings
from two_tower.core.train_config import DIM
from two_tower.database.warehouse import open_warehouse

FORMER, SERVING = "20260101_000001", "20260101_000002"
RELEASED = """
create schema if not exists two_tower;
create schema if not exists public;
create table public.user_embeddings (user_id text, embedding float[128]);
create table public.user_embeddings_previous (user_id text, embedding float[128]);
create table public.video_embeddings (video_id uuid, embedding float[128]);
create table public.video_embeddings_previous (video_id uuid, embedding float[128]);
insert into public.user_embeddings select 'new', array_value(%(ones)s);
insert into public.user_embeddings_previous select 'old', array_value(%(ones)s);
insert into public.video_embeddings select uuid(), array_value(%(ones)s) from range(2);
insert into public.video_embeddings_previous select uuid(), array_value(%(ones)s) from range(1);
create table two_tower.model_releases (release_id bigint, version text, released_at timestamp,
    is_rollback boolean, user_count bigint, video_count bigint, lists integer, probes integer,
    is_exact boolean, index_recall double);
insert into two_tower.model_releases values
    (1, '%(former)s', timestamp '2026-01-01 00:00:01', false, 1, 1, null, null, true, 1.0),
    (2, '%(serving)s', timestamp '2026-01-01 00:00:02', false, 1, 2, null, null, true, 1.0);
"""


@pytest.fixture
def released(duckdb_settings: Settings, tmp_path: Path) -> Settings:
    """Two releases as dbt leaves them, both models in the registry, the second the latest."""
    names = {"ones": ", ".join(["1"] * DIM), "former": FORMER, "serving": SERVING}
    with open_warehouse(duckdb_settings) as warehouse:
        for statement in (RELEASED % names).split(";\n")[:-1]:
            warehouse.execute(statement)
    for version in (FORMER, SERVING):
        tiny_model.publish(duckdb_settings, version, tmp_path)
    return duckdb_settings


@pytest.fixture
def two_tower(forks: Forks) -> Callable[..., Ended]:
    """A function that runs `two-tower ARGUMENTS --json` in a time zone that is not UTC."""

    def run(settings: Settings, *arguments: str) -> Ended:
        environment = {
            **os.environ,
            "TZ": "Asia/Tokyo",
            "TWO_TOWER_TARGET": "duckdb",
            "TWO_TOWER_PROJECT_DIR": str(settings.project_dir),
            "TWO_TOWER_DUCKDB_PATH": str(settings.duckdb_path),
            "TWO_TOWER_REGISTRY_URL": settings.registry_url,
        }
        # Away from the developer's .env.
        folder = settings.path(settings.duckdb_path).parent
        return forks.end(["two-tower", *arguments, "--json"], environment, folder)

    return run


def test_rollback_moves_tables_history_and_latest_back_once(
    released: Settings, two_tower: Callable[..., Ended]
) -> None:
    assert Registry(released).fetch().version == SERVING
    started = datetime.now(UTC).replace(tzinfo=None)

    done = two_tower(released, "rollback")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["version_from"], result["version_to"]) == (SERVING, FORMER)
    assert Registry(released).fetch().version == FORMER
    with open_warehouse(released) as warehouse:
        users = warehouse.fetch("select user_id from public.user_embeddings")
        videos = warehouse.fetch("select count(*) as n from public.video_embeddings")
        kept = warehouse.fetch("select user_id from public.user_embeddings_previous")
        (row,) = warehouse.fetch("select * from two_tower.model_releases where release_id = 3")
    assert (users, videos, kept) == ([{"user_id": "old"}], [{"n": 1}], [{"user_id": "new"}])
    assert (row["version"], row["is_rollback"], row["video_count"]) == (FORMER, True, 1)
    # Of which the time zone of the machine knows nothing.
    assert timedelta(0) <= row["released_at"] - started < timedelta(minutes=5)

    again = two_tower(released, "rollback")
    assert again.returncode == 6
    assert "already put back" in again.stderr
    assert Registry(released).fetch().version == FORMER


def test_the_versions_are_listed_with_what_became_of_them(
    released: Settings, two_tower: Callable[..., Ended]
) -> None:
    def listed() -> list[tuple[str, str, bool]]:
        done = two_tower(released, "releases")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        assert all(row["is_in_registry"] for row in rows)
        return [(row["version"], row["state"], row["is_latest"]) for row in rows]

    assert listed() == [(SERVING, "serving", True), (FORMER, "previous", False)]
    # The version of the release before, by its name: the same exchange.
    done = two_tower(released, "rollback", FORMER)
    assert done.returncode == 0, done.stderr
    assert listed() == [(SERVING, "previous", False), (FORMER, "serving", True)]
    again = two_tower(released, "rollback", FORMER)
    assert again.returncode == 0, "what serves already goes on serving"
    assert listed() == [(SERVING, "previous", False), (FORMER, "serving", True)]
    gone = two_tower(released, "rollback", "20010101_000000")
    assert gone.returncode == 3
    assert "is not in the registry" in gone.stderr


def test_forgetting_says_what_went_and_never_who(
    released: Settings, two_tower: Callable[..., Ended]
) -> None:
    done = two_tower(released, "forget-user", "new")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows"] == {'"public"."user_embeddings"': 1}
    assert datetime.fromisoformat(result["forgotten_at"])
    assert "nothing was stored" not in done.stderr
    again = two_tower(released, "forget-user", "new")
    assert again.returncode == 0
    assert json.loads(again.stdout)["rows"] == {}
    assert "nothing was stored under this id" in again.stderr
