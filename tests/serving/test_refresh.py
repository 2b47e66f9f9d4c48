"""Between releases: what is new, moved or gone, on both engines; the index, on Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import tiny_model
from serving_world import clustered, user_id, video_id
from test_embed import make_users

from postgres_server import PostgresServer
from two_tower.core.errors import GateError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.serving.embed import embed
from two_tower.serving.refresh import INDEX_MEMORY, Changes, refresh

VERSION = "20260101_000001"


def session(dsn: str) -> psycopg.Connection[Any]:
    """A session that finds pgvector's names bare, as an app on Supabase has it."""
    return psycopg.connect(dsn, autocommit=True, options="-c search_path=public,extensions")


RELEASED = f"""
create table two_tower.model_releases (release_id bigint, version text);
insert into two_tower.model_releases values (1, '{VERSION}');
create schema if not exists public;
create table public.user_embeddings as
    select user_id, embedding from two_tower.user_embeddings_landing;
create table public.video_embeddings as
    select video_id, embedding from two_tower.video_embeddings_landing;
alter table public.user_embeddings add primary key (user_id);
alter table public.video_embeddings add primary key (video_id)
"""


@pytest.fixture
def served(either_settings: Settings, tmp_path: Path) -> Settings:
    """Three users and six videos, embedded and served; a newer model is the registry's latest."""
    with open_warehouse(either_settings) as warehouse:
        tiny_model.make_feature_tables(warehouse, [video_id(number) for number in range(6)])
        make_users(warehouse)
    tiny_model.publish(either_settings, VERSION, tmp_path)
    embed(either_settings)
    with open_warehouse(either_settings) as warehouse:
        for statement in RELEASED.split(";"):
            warehouse.execute(statement)
    tiny_model.publish(either_settings, "20260101_000002", tmp_path)
    return either_settings


def insert_user(warehouse: Warehouse, user: str, ids: list[int], indices: list[int]) -> None:
    values = [1] * len(ids)
    warehouse.execute(
        "insert into two_tower.user_feature_slots values"
        f" (?, array{ids}, array{indices}, array{values})",
        (user,),
    )


def vectors(settings: Settings) -> dict[str, str]:
    with open_warehouse(settings) as warehouse:
        rows = warehouse.fetch(
            "select user_id as id, cast(embedding as text) as v from public.user_embeddings"
            " union all select cast(video_id as text), cast(embedding as text)"
            " from public.video_embeddings"
        )
    return {row["id"]: row["v"] for row in rows}


def test_nothing_new_changes_nothing(served: Settings) -> None:
    before = vectors(served)
    result = refresh(served)
    assert (result.version, result.users, result.videos) == (
        VERSION,
        Changes(0, 0, 0, False),
        Changes(0, 0, 0, False),
    )
    assert vectors(served) == before


def test_new_rows_come_changed_ones_move_and_deleted_ones_go(served: Settings) -> None:
    before = vectors(served)
    with open_warehouse(served) as warehouse:
        warehouse.execute("delete from two_tower.user_feature_slots where user_id = 'u1'")
        insert_user(warehouse, "u1", [1, 1], [0, 1])  # likes another video
        insert_user(warehouse, "u4", [1], [2])
        warehouse.execute(
            "delete from two_tower.item_feature_slots where video_id = cast(? as uuid)",
            (video_id(5),),
        )
        warehouse.execute(
            "insert into two_tower.item_feature_slots values"
            " (cast(? as uuid), array[4], array[0], array[1.0])",
            (video_id(7),),
        )

    result = refresh(served)

    assert (result.users, result.videos) == (Changes(1, 1, 0, False), Changes(1, 0, 1, False))
    after = vectors(served)
    assert after.keys() == before.keys() - {video_id(5)} | {"u4", video_id(7)}
    assert {key for key in before.keys() & after.keys() if before[key] != after[key]} == {"u1"}
    assert refresh(served).users == Changes(0, 0, 0, False)


def test_what_the_day_alone_moves_a_little_stays(served: Settings) -> None:
    before = vectors(served)
    with open_warehouse(served) as warehouse:
        warehouse.execute(
            'update two_tower.item_feature_slots set "values" = array[1.0, 1.001]'
            " where video_id = cast(? as uuid)",
            (video_id(0),),
        )
    assert refresh(served).videos == Changes(0, 0, 0, False)
    assert vectors(served) == before


def test_most_of_the_catalogue_is_not_removed(served: Settings) -> None:
    before = vectors(served)
    with open_warehouse(served) as warehouse:
        warehouse.execute(
            "delete from two_tower.item_feature_slots where video_id > cast(? as uuid)",
            (video_id(1),),
        )
        insert_user(warehouse, "u4", [1], [2])
    with pytest.raises(GateError, match=r"4 of the 6 rows of public\.video_embeddings"):
        refresh(served)
    assert vectors(served) == before


def test_without_a_release_there_is_nothing_to_refresh(either_settings: Settings) -> None:
    with pytest.raises(NotEnoughDataError, match="nothing has been released"):
        refresh(either_settings)


def test_an_index_of_many_newer_rows_is_built_anew_and_goes_on_answering(
    clean_postgres: Settings,
    postgres_server: PostgresServer,
    postgres_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_warehouse(clean_postgres) as warehouse:
        tiny_model.make_feature_tables(warehouse, [video_id(number) for number in range(4)])
        make_users(warehouse)
    tiny_model.publish(clean_postgres, VERSION, tmp_path)
    embed(clean_postgres)
    with session(postgres_dsn) as connection:
        for statement in RELEASED.split(";"):
            connection.execute(statement)
        # A table of 1200 more users than there are features of: those are added below.
        more = clustered(1200, seed=1)
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into public.user_embeddings values (%s, %s::halfvec)",
                [(user_id(n), str(row.tolist())) for n, row in enumerate(more)],
            )
        connection.execute(
            "create index idx_user_embeddings_cosine on public.user_embeddings"
            " using ivfflat (embedding halfvec_cosine_ops) with (lists = 300)"
        )
        # What a rebuild that was killed leaves.
        connection.execute(
            "create index idx_user_embeddings_cosine_ccnew on public.user_embeddings"
            " using ivfflat (embedding halfvec_cosine_ops) with (lists = 300)"
        )
        postgres_server.as_superuser(
            "update pg_index set indisvalid = false"
            " where indexrelid = 'public.idx_user_embeddings_cosine_ccnew'::regclass",
            database="two_tower_tests",
        )
        rng = np.random.default_rng(3)
        connection.cursor().executemany(
            "insert into two_tower.user_feature_slots values"
            " (%s, array[1, 2], array[%s, 0], array[1, %s])",
            [
                (user_id(n), int(rng.integers(4)), float(rng.uniform(0, 3)))
                for n in range(100, 1400)
            ],
        )

        # Less than the k-means of 300 lists takes: a rebuild sees to its room itself.
        monkeypatch.setenv("PGOPTIONS", "-c maintenance_work_mem=1MB")
        first = refresh(clean_postgres)

        assert (first.users.added, first.users.removed) == (200, 100)
        assert first.users.changed > 1000
        assert first.users.is_reindexed
        assert not refresh(clean_postgres).users.is_reindexed
        names = connection.execute(
            "select indexname from pg_indexes where tablename = 'user_embeddings' order by 1"
        ).fetchall()
        assert names == [("idx_user_embeddings_cosine",), ("user_embeddings_pkey",)]
        assert connection.execute(
            "select bool_and(indisvalid) from pg_index where indrelid ="
            " 'public.user_embeddings'::regclass"
        ).fetchone() == (True,)
        connection.execute("set enable_seqscan = off")
        connection.execute("set ivfflat.probes = 300")
        found = connection.execute(
            "select user_id from public.user_embeddings order by embedding <=>"
            " (select embedding from public.user_embeddings where user_id = 'user_1399') limit 5"
        ).fetchall()
        assert len(found) == 5


def test_there_is_room_for_the_lists_of_two_million_people(
    clean_postgres: Settings, postgres_dsn: str
) -> None:
    """pgvector refuses before it begins: where it begins, which takes a minute, there is room."""
    macros = (clean_postgres.project_dir / "macros/pgvector/ivfflat.sql").read_text("utf-8")
    assert f"\n{INDEX_MEMORY}\n" in macros, "a release gives as much room as a refresh"
    with session(postgres_dsn) as connection:
        # An index samples 50 rows a list.
        connection.execute("create table many (embedding halfvec(128) not null)")
        connection.execute(
            "insert into many select array_fill(1 + n % 7, array[128])::halfvec(128)"
            " from generate_series(1, 100000) as n"
        )
        build = (
            "create index on many using ivfflat (embedding halfvec_cosine_ops) with (lists = 2000)"
        )
        connection.execute("set maintenance_work_mem = '256MB'")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="memory required is"):
            connection.execute(build)
        connection.execute(f"set maintenance_work_mem = '{INDEX_MEMORY}'")
        connection.execute("set statement_timeout = '3s'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(build)
