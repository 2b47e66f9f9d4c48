"""Who may call and read what, on a Postgres with Supabase's roles and default privileges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from postgres_server import PASSWORD, PostgresServer, running_postgres
from serving import grants_world
from serving.grants_world import TIERS, doors, outcome, request, sync, user_id, video_id

# The roles are of a whole server, so these tests have one of their own.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("grants")]

HEIGHTS = {"visitor": 1, "user": 2, "service": 3, "owner": 4}
REFUSED = "42501 permission denied for "
SHARED = {
    "public.user_embeddings",
    "public.video_embeddings",
    "two_tower.interactions",
    "two_tower.popularity",
    "two_tower.videos",
}
# What docs/your-postgres.md asks of a superuser for a role of the functions' own.
API_ROLE = (
    "create role two_tower_api nologin noinherit",
    "grant two_tower_api to app",
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as started:
        password = PASSWORD.replace("'", "''")
        started.as_superuser(f"create role app login password '{password}'", *grants_world.ROLES)
        yield started


@pytest.fixture(
    scope="module", params=["", "in schema public", "in schema two_tower"], ids=["all", "p", "t"]
)
def dsn(request: pytest.FixtureRequest, server: PostgresServer) -> str:
    """A database for each way in which default privileges are set."""
    name = f"grants_{request.param_index}"
    return grants_world.prepare(server, name, request.param)


@pytest.fixture(scope="module")
def plain_dsn(server: PostgresServer) -> str:
    return grants_world.prepare(server, "grants_plain", "in schema public")


@pytest.fixture
def owner(plain_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection to a database that each test leaves as it was."""
    with psycopg.connect(plain_dsn, autocommit=True) as connection:
        yield connection
        sync(connection, {})


def relations(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    return connection.execute(
        "select c.relnamespace::regnamespace || '.' || c.relname, c.relkind from pg_class as c"
        " where c.relnamespace = any (array['two_tower', 'raw', 'public']::regnamespace[])"
        " and c.relkind in ('r', 'p', 'v', 'm', 'S')"
    ).fetchall()


def test_each_role_calls_and_reads_what_its_tier_says(server: PostgresServer, dsn: str) -> None:
    """Every role times every function and table that there is."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table public.user_embeddings_previous (user_id text)")
        connection.execute("create sequence two_tower.numbers")
        sync(connection, TIERS)
        called, inner = doors(connection), doors(connection, "two_tower")
        known = {(door["name"], tuple(door["types"])) for door in [*called, *inner]}
        helpers = connection.execute(
            "select p.oid::regprocedure::text from pg_proc as p"
            " where p.pronamespace = 'two_tower'::regnamespace"
        ).fetchall()
        tables = relations(connection)
        connection.execute("drop table public.user_embeddings_previous")
        connection.execute("drop sequence two_tower.numbers")
        connection.execute("create table public.user_embeddings_previous (user_id text)")
        connection.execute("create sequence two_tower.numbers")
        sync(connection, TIERS)
    assert len(known) >= 3 + 10
    assert len(tables) > 25
    assert len(helpers) > 12
    wrong = []
    for role, tier in [*TIERS.items(), ("authenticator", None)]:
        height = HEIGHTS.get(tier or "", 0)
        with request(server, dsn, role) as connection:
            for door in called:
                nulls = ", ".join(f"null::{kind}" for kind in door["types"])
                got = outcome(connection, f"select * from {door['name']}({nulls})")
                if got.startswith(REFUSED + "function") == (HEIGHTS[door["tier"]] <= height):
                    wrong.append((role, door["name"], got))
            for name, kind in tables:
                got = outcome(connection, f"select * from {name}")
                if name in SHARED and tier == "service" and got != "ok":
                    wrong.append((role, name, got))
                if not (name in SHARED and tier == "service") and not got.startswith(REFUSED):
                    wrong.append((role, name, got))
                if kind == "r":
                    got = outcome(connection, f"delete from {name}")
                    if not got.startswith(REFUSED):
                        wrong.append((role, f"delete from {name}", got))
            for (name,) in helpers:
                held = connection.execute(
                    "select has_function_privilege(%s::name, %s::text, 'execute')", (role, name)
                ) if role == "authenticator" else None
                got = "held" if held and held.fetchone() == (True,) else ""
                if got:
                    wrong.append((role, name, got))
    assert wrong == []
