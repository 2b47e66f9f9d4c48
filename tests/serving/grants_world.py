"""A database as Supabase has one: its roles and default privileges, and our functions in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from pydantic import SecretStr

from conftest import PROJECT_DIR, make_settings
from postgres_server import PostgresServer
from serving.app_world import BEFORE_EVENTS, EVENT_STARS
from serving.serving_world import clustered, make_world, user_id, video_id

TIERS = {"anon": "visitor", "authenticated": "user", "service_role": "service"}
ROLES = (
    "create role anon nologin noinherit",
    "create role authenticated nologin noinherit",
    "create role service_role nologin noinherit bypassrls",
    "create role authenticator login noinherit password 'a'",
    "grant anon, authenticated, service_role to authenticator",
    "create role analyst nologin",
    "create role mallory login password 'm'",
    "grant analyst to app",
)
HEIGHTS = {None: 0, "visitor": 1, "user": 2, "service": 3, "owner": 4}
DEFAULTS = "alter default privileges {} grant all on {} to anon, authenticated, service_role"
# Types and a table of the caller's, for a function that looks in pg_temp first.
HIJACK = [
    "create function pg_temp.evil() returns boolean language plpgsql as"
    " $$ begin perform set_config('evil.ran_as', current_user, false); return true; end $$",
    *(
        f"create domain pg_temp.{name} as pg_catalog.{name} check (pg_temp.evil())"
        for name in ("uuid", "text", "int4", "float8", "jsonb")
    ),
    "create domain pg_temp.halfvec as pg_catalog.text check (pg_temp.evil())",
    "create temporary table popularity (video_id pg_catalog.uuid)",
]
USERS, VIDEOS = 20, 40
RELEASES = """
create table two_tower.model_releases (release_id bigint, version text, released_at timestamp,
    is_rollback boolean, user_count bigint, video_count bigint, lists integer, probes integer,
    is_exact boolean, index_recall double precision);
create view two_tower.stg_videos as select video_id from two_tower.videos;
create table two_tower.vocab_video (token text, index integer);
create view two_tower.vocabularies as
    select 'video' as vocabulary, token, index from two_tower.vocab_video;
create table two_tower.stg_tags (tag_id text, name text);
create table two_tower.stg_performers (performer_id text, name text);
create table raw.said (written_id text, token text);
create view two_tower.stg_user_categories as select * from raw.said;
create table two_tower.vocab_user_category (token text, index integer);
insert into two_tower.model_releases values (1, 'v', now(), false, 20, 40, null, null, true, 1);
"""


def prepare(server: PostgresServer, database: str, scope: str = "", role: str = "app") -> str:
    """Make a database of the role with default privileges in a scope, our tables and functions."""
    dsn = server.prepare(database, role)
    server.as_superuser(
        "grant usage on schema extensions to anon, authenticated, service_role", database=database
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        if "two_tower" in scope:
            connection.execute("create schema two_tower")
        for kind in ("tables", "functions", "sequences"):
            connection.execute(sql.SQL(DEFAULTS.format(scope, kind)))  # type: ignore[arg-type]
    make_world(make_settings("postgres", database_url=SecretStr(dsn)), USERS, VIDEOS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(RELEASES + EVENT_STARS)
        install(connection)
        for base, name, rows in (
            ("user", user_id, clustered(USERS, 1)),
            ("video", video_id, clustered(VIDEOS, 2)),
        ):
            for number, vector in enumerate(rows):
                connection.execute(
                    sql.SQL("insert into public.{} values (%s, %s)").format(
                        sql.Identifier(f"{base}_embeddings")
                    ),
                    (name(number), str(vector.tolist())),
                )
    return dsn


def install(connection: psycopg.Connection[Any]) -> None:
    """Load the files of sql/, as a build does."""
    connection.execute("set check_function_bodies = off")
    folder = PROJECT_DIR / "sql"
    first = [folder / f"functions/{name}.sql" for name in BEFORE_EVENTS]
    for file in (*first, *folder.glob("statements/make_*.sql"), *folder.glob("functions/*.sql")):
        connection.execute(file.read_bytes())
    connection.execute("reset check_function_bodies")


def sync(
    connection: psycopg.Connection[Any], roles: dict[str, str], own_vectors: bool = False
) -> None:
    connection.execute("select two_tower.sync_grants(%s, %s)", (json.dumps(roles), own_vectors))


@contextmanager
def request(
    server: PostgresServer, dsn: str, role: str, user: str | None = None
) -> Iterator[psycopg.Connection[Any]]:
    """A transaction as PostgREST has one for a role, with the claims of a user; rolled back."""
    database = dsn.rsplit("/", 1)[1]
    with psycopg.connect(server.dsn(database, "authenticator", "a")) as connection:
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        claims = json.dumps({"role": role} | ({"sub": user} if user else {}))
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        yield connection
        connection.rollback()


def outcome(connection: psycopg.Connection[Any], query: str, params: Any = None) -> str:
    """Return `ok`, or the SQLSTATE with what was refused; the transaction goes on."""
    try:
        with connection.transaction():
            connection.execute(query, params)  # type: ignore[call-overload]
    except psycopg.Error as error:
        said = str(error).splitlines()[0]
        return f"{error.sqlstate} {said}"
    return "ok"


def doors(connection: psycopg.Connection[Any], schema: str = "public") -> list[dict[str, Any]]:
    """Return the functions of two_tower.app_functions() that are there, with their arguments."""
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(
            "select f.name, f.tier, p.oid, array(select format_type(t, null) from"
            "  unnest(p.proargtypes) with ordinality as a (t, n) order by n) as types,"
            " coalesce(p.proargnames[1:p.pronargs], '{}') as arguments"
            " from two_tower.app_functions() as f join pg_proc as p"
            " on p.pronamespace::regnamespace || '.' || p.proname = f.name"
            " where f.name like %s order by f.name",
            (f"{schema}.%",),
        ).fetchall()
