"""The map of the explorer follows what it is drawn of: a release, a refresh, a build."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest

from postgres_server import PostgresServer
from two_tower.core.train_config import DIM
from two_tower.interfaces.http.explorer.catalogue_map import CatalogueMap

pytestmark = pytest.mark.slow

VIDEOS = 6
TABLES = f"""
create schema two_tower;
create table public.video_embeddings
    (video_id uuid primary key, embedding extensions.halfvec({DIM}));
create table two_tower.model_releases (release_id bigint);
insert into two_tower.model_releases values (1);
create table two_tower.videos
    (video_id uuid primary key, maker text, tag_ids text[], released_on date);
create table two_tower.video_sample (video_id uuid, tag_ids text[]);
create table two_tower.popularity (video_id uuid, popularity_rank bigint);
create table two_tower.stg_tags (tag_id text, name text)
"""


@contextmanager
def catalogue(
    server: PostgresServer, database: str, seed: int
) -> Iterator[tuple[CatalogueMap, psycopg.Connection[Any]]]:
    """A catalogue of a few random vectors: its map, and a session of its owner."""
    dsn = server.prepare(database)
    generator = np.random.default_rng(seed)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in TABLES.split(";"):
            connection.execute(statement.encode())
        for number in range(VIDEOS):
            add(connection, uuid.UUID(int=number), generator.standard_normal(DIM))
        for table in ("videos", "video_sample"):
            connection.execute(
                f"insert into two_tower.{table} (video_id, tag_ids)"
                " select video_id, '{}' from public.video_embeddings".encode()
            )
        yield CatalogueMap(dsn), connection


def add(connection: psycopg.Connection[Any], video: uuid.UUID, vector: Any) -> None:
    connection.execute(
        "insert into public.video_embeddings values (%s, %s::real[]::extensions.halfvec)",
        (video, vector.tolist()),
    )


def head(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body[4 : 4 + int.from_bytes(body[:4], "little")])
    return found


def test_a_refresh_moves_what_it_embedded_anew(postgres_server: PostgresServer) -> None:
    with catalogue(postgres_server, "map_refresh", 1) as (drawn, connection):
        tag, body = drawn.read()
        again, kept = drawn.read()
        assert again == tag
        assert kept is body  # not computed anew

        # As a refresh does: the release and the number of videos stay.
        with connection.transaction():
            connection.execute(
                "delete from public.video_embeddings where video_id = %s", (uuid.UUID(int=2),)
            )
            add(connection, uuid.UUID(int=2), np.ones(DIM))
        moved, changed = drawn.read()
        assert moved != tag
        assert changed != body


@pytest.mark.parametrize(
    ("built", "named"),
    [
        ("update two_tower.videos set maker = 'm'", {"makers": ["m"]}),
        (
            "create table two_tower.next as select video_id, array['t'] as tag_ids"
            " from two_tower.videos where video_id < '00000000-0000-0000-0000-000000000001';"
            " insert into two_tower.next select video_id, '{}' from two_tower.videos;"
            " drop table two_tower.video_sample;"
            " alter table two_tower.next rename to video_sample",
            {"tags": ["t"]},
        ),
    ],
    ids=["makers", "tags"],
)
def test_a_build_brings_other_makers_and_tags(
    postgres_server: PostgresServer, built: str, named: dict[str, Any]
) -> None:
    with catalogue(postgres_server, f"map_build_{next(iter(named))}", 1) as (drawn, connection):
        tag, body = drawn.read()
        assert (head(body)["makers"], head(body)["tags"]) == ([], [])
        connection.execute(built.encode())
        built_tag, after = drawn.read()
        assert built_tag != tag
        assert named.items() <= head(after).items()


def test_a_build_that_ranks_videos_otherwise_orders_them_so(
    postgres_server: PostgresServer,
) -> None:
    with catalogue(postgres_server, "map_ranks", 1) as (drawn, connection):
        assert ids(drawn.read()[1])[0] == uuid.UUID(int=0)
        for statement in (
            "create table two_tower.next as select video_id, row_number() over"
            " (order by video_id desc) as popularity_rank from two_tower.videos",
            "drop table two_tower.popularity",
            "alter table two_tower.next rename to popularity",
        ):
            connection.execute(statement.encode())
        assert ids(drawn.read()[1])[0] == uuid.UUID(int=VIDEOS - 1)


def ids(body: bytes) -> list[uuid.UUID]:
    last = body[-16 * VIDEOS :]
    return [uuid.UUID(bytes=last[at : at + 16]) for at in range(0, len(last), 16)]


def test_a_tag_is_of_what_is_drawn_and_of_nothing_else(postgres_server: PostgresServer) -> None:
    with (
        catalogue(postgres_server, "map_one", 1) as (one, connection),
        catalogue(postgres_server, "map_other", 2) as (other, _),
    ):
        tag, _body = one.read()
        assert other.read()[0] != tag  # release 1 of as many videos, too
        # Rows that are written anew, with what was in them.
        connection.execute("update two_tower.videos set maker = maker")
        assert one.read()[0] == tag
