"""Who may call and read what, on a Postgres with Supabase's roles and default privileges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import psycopg
import pytest
from psycopg import sql

from conftest import CATALOGUE, PROJECT_DIR, REVIEWS, folders, make_settings
from postgres_server import PASSWORD, PostgresServer, running_postgres
from serving import grants_world
from serving.grants_world import (
    HEIGHTS,
    HIJACK,
    TIERS,
    USERS,
    doors,
    outcome,
    request,
    sync,
    user_id,
    video_id,
)
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.interfaces import terminal
from two_tower.operations import grants, privilege_checks, setup

# The roles are a whole server's, so these tests have one of their own.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("grants")]

REFUSED = "42501 permission denied for "
SHARED = {
    "public.user_embeddings",
    "public.video_embeddings",
    "two_tower.interactions",
    "two_tower.popularity",
    "two_tower.videos",
}
SEEN = "select count(*) from public.recommend_videos('user_0', 40, {})"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as started:
        password = PASSWORD.replace("'", "''")
        started.as_superuser(f"create role app login password '{password}'", *grants_world.ROLES)
        yield started


@pytest.fixture(scope="module", params=["", "in schema public", "in schema two_tower"])
def defaults_dsn(request: pytest.FixtureRequest, server: PostgresServer) -> str:
    """A database for each way in which default privileges are set."""
    name = f"defaults_{len(request.param)}"
    return grants_world.prepare(server, name, request.param)


@pytest.fixture(scope="module")
def dsn(server: PostgresServer) -> str:
    return grants_world.prepare(server, "grants", "in schema public")


@pytest.fixture
def owner(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner of a database in which the three roles hold what their tiers say."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        sync(connection, TIERS)
        yield connection
        connection.execute("reset role")
        sync(connection, {})


def may_read(connection: psycopg.Connection[Any], role: str) -> set[str]:
    """Return our tables, views and sequences of which a role may use any column or value."""
    return {
        name
        for (name,) in connection.execute(
            "select c.relnamespace::regnamespace || '.' || c.relname from pg_class as c"
            " where c.relnamespace = any (array['two_tower', 'raw', 'public']::regnamespace[])"
            " and case c.relkind when 'S' then"
            "   has_sequence_privilege(%(role)s, c.oid, 'usage, select, update')"
            "  when 'i' then false when 'c' then false when 't' then false"
            "  else has_table_privilege(%(role)s, c.oid, 'insert, update, delete, truncate')"
            "   or has_any_column_privilege(%(role)s, c.oid, 'select, insert, update') end",
            {"role": role},
        ).fetchall()
    }


def may_call(connection: psycopg.Connection[Any], role: str) -> set[str]:
    return {
        name
        for (name,) in connection.execute(
            "select p.pronamespace::regnamespace || '.' || p.proname from pg_proc as p"
            " where p.pronamespace = any (array['two_tower', 'public']::regnamespace[])"
            " and has_function_privilege(%s::name, p.oid, 'execute')",
            (role,),
        ).fetchall()
    }


def test_each_role_calls_and_reads_what_its_tier_says(
    server: PostgresServer, defaults_dsn: str
) -> None:
    """Every role times every function and table that there is."""
    with psycopg.connect(defaults_dsn, autocommit=True) as connection:
        connection.execute("create table public.user_embeddings_previous (user_id text)")
        connection.execute("create table two_tower.video_embeddings_next (video_id uuid)")
        connection.execute("create table two_tower.days (d date) partition by range (d)")
        connection.execute("create table two_tower.days_rest partition of two_tower.days default")
        connection.execute("create view two_tower.seen as select * from two_tower.interactions")
        connection.execute("create sequence two_tower.numbers")
        sync(connection, TIERS)
        called = doors(connection)
        assert {door["tier"] for door in called} >= {"visitor", "service"}
        for role, tier in [*TIERS.items(), ("authenticator", None), ("analyst", None)]:
            height = HEIGHTS[tier]
            assert may_read(connection, role) == (SHARED if tier == "service" else set()), role
            assert may_call(connection, role) == {
                door["name"] for door in called if HEIGHTS[door["tier"]] <= height
            }, role
    wrong = []
    for role, tier in TIERS.items():
        with request(server, defaults_dsn, role) as connection:
            for door in called:
                nulls = ", ".join(f"null::{kind}" for kind in door["types"])
                got = outcome(connection, f"select * from {door['name']}({nulls})")
                if got.startswith(REFUSED + "function") == (HEIGHTS[door["tier"]] <= HEIGHTS[tier]):
                    wrong.append((role, door["name"], got))
            for name in (*SHARED, "public.user_embeddings_previous", "raw.reviews"):
                got = outcome(connection, f"select * from {name}")
                if got.startswith(REFUSED) == (name in SHARED and tier == "service"):
                    wrong.append((role, name, got))
    assert wrong == []


def test_nobody_differs_two_lists_by_a_persons_history(
    server: PostgresServer, dsn: str, owner: psycopg.Connection[Any]
) -> None:
    for role in ("anon", "authenticated"):
        with request(server, dsn, role) as connection:
            for exclude_seen in ("true", "false"):
                got = outcome(connection, SEEN.format(exclude_seen))
                assert got == REFUSED + "function recommend_videos", role


def test_the_service_key_asks_for_anybody(
    server: PostgresServer, dsn: str, owner: psycopg.Connection[Any]
) -> None:
    with request(server, dsn, "service_role") as connection:
        assert connection.execute(SEEN.format("true")).fetchone() == (35,)
        assert connection.execute(SEEN.format("false")).fetchone() == (40,)
        found = connection.execute("select count(*) from public.user_embeddings").fetchone()
        assert found == (USERS,)


def test_a_role_comes_and_goes_with_the_var(
    server: PostgresServer, dsn: str, owner: psycopg.Connection[Any]
) -> None:
    similar = f"select * from public.similar_videos('{video_id(1)}')"
    sync(owner, {"authenticated": "user"})
    for role, got in (("anon", REFUSED + "function similar_videos"), ("authenticated", "ok")):
        with request(server, dsn, role) as connection:
            assert outcome(connection, similar) == got
    assert may_call(owner, "service_role") == set()
    assert may_read(owner, "service_role") == set()
    usage = "select has_schema_privilege('service_role', 'two_tower', 'usage')"
    assert owner.execute(usage).fetchone() == (False,)
    sync(owner, {"anon": "service"})
    with request(server, dsn, "anon") as connection:
        assert outcome(connection, SEEN.format("true")) == "ok"
    assert may_call(owner, "authenticated") == set()


def test_what_the_former_version_granted_is_gone(owner: psycopg.Connection[Any]) -> None:
    """It gave every role of the var the functions, the tables and the schema."""
    owner.execute("grant usage on schema two_tower to anon")
    owner.execute(f"grant select on {', '.join(SHARED)} to anon, authenticated")
    owner.execute("grant select (embedding) on public.user_embeddings to anon")
    owner.execute("grant execute on function public.recommend_videos to anon")
    sync(owner, TIERS)
    assert may_read(owner, "anon") == may_read(owner, "authenticated") == set()
    assert "public.recommend_videos" not in may_call(owner, "anon")
    schema = owner.execute("select has_schema_privilege('anon', 'two_tower', 'usage')").fetchone()
    assert schema == (False,)


def test_what_is_granted_by_hand_stays_and_is_shown(owner: psycopg.Connection[Any]) -> None:
    owner.execute("grant usage on schema two_tower to analyst")
    owner.execute("grant select on two_tower.interactions to analyst with grant option")
    owner.execute("grant select (title) on two_tower.videos to analyst")
    owner.execute("grant execute on function public.recommend_videos to analyst")
    sync(owner, TIERS)
    assert may_read(owner, "analyst") == {"two_tower.interactions", "two_tower.videos"}
    shown = owner.execute(
        "select object, undo from two_tower.app_grants() where role = 'analyst' order by 1"
    ).fetchall()
    assert [name for name, _ in shown] == [
        "public.recommend_videos",
        "two_tower",
        "two_tower.interactions",
        "two_tower.videos",
    ]
    for _, undo in shown:
        owner.execute(undo)
    assert may_read(owner, "analyst") == may_call(owner, "analyst") == set()


def test_all_roles_and_calls_are_shown(owner: psycopg.Connection[Any]) -> None:
    owner.execute("grant select on two_tower.distributions to anon")
    rows = owner.execute(
        "select role, object, is_allowed, is_wanted, undo from two_tower.app_grants()"
    ).fetchall()
    shown = {(role, name): (allowed, wanted) for role, name, allowed, wanted, _ in rows}
    for role, tier in TIERS.items():
        for door in doors(owner):
            may = HEIGHTS[door["tier"]] <= HEIGHTS[tier]
            assert shown[role, door["name"]] == (may, may)
        for name in SHARED:
            assert shown[role, name] == (tier == "service", tier == "service")
    assert shown["anon", "two_tower.distributions"] == (True, False)
    undo = next(row[4] for row in rows if row[:2] == ("anon", "two_tower.distributions"))
    assert undo == "revoke all on table two_tower.distributions from anon;"
    sync(owner, TIERS)
    assert "two_tower.distributions" not in may_read(owner, "anon")


def test_the_owner_and_roles_that_do_not_exist_lose_nothing(
    owner: psycopg.Connection[Any],
) -> None:
    sync(owner, {**TIERS, "app": "visitor", "nobody here": "user"})
    assert "two_tower.videos" in may_read(owner, "app")
    assert "two_tower.publish_release" in may_call(owner, "app")
    rows = owner.execute("select role from two_tower.granted_roles").fetchall()
    assert {row[0] for row in rows} == {*TIERS, "app"}


def test_a_name_of_any_characters_is_a_role(
    server: PostgresServer, owner: psycopg.Connection[Any]
) -> None:
    odd = """Rob"'; drop table two_tower.videos; --"""
    server.as_superuser(sql.SQL("create role {}").format(sql.Identifier(odd)).as_string(None))
    sync(owner, {odd: "service"})
    assert may_read(owner, odd) == SHARED
    sync(owner, {})
    assert may_read(owner, odd) == set()


@pytest.mark.parametrize("role", list(TIERS))
def test_a_temporary_type_runs_nothing_as_the_owner(
    server: PostgresServer, dsn: str, owner: psycopg.Connection[Any], role: str
) -> None:
    with request(server, dsn, role, user_id(1)) as connection:
        for statement in HIJACK:
            connection.execute(statement)  # type: ignore[arg-type]
        for door in doors(owner):
            known = {"uuid": f"'{video_id(1)}'", "uuid[]": f"'{{{video_id(1)}}}'"}
            values = ", ".join(known.get(kind, "null") for kind in door["types"])
            got = outcome(connection, f"select * from {door['name']}({values})")
            assert got == "ok" or got.startswith(("42501", "22023")), got
        ran_as = connection.execute("select current_setting('evil.ran_as', true)").fetchone()
        assert ran_as in ((None,), ("",))


EVIL = """
create function public.quote_ident(name) returns text language plpgsql as
    $$ begin perform set_config('evil.ran_as', current_user, false);
       return pg_catalog.quote_ident($1::text); end $$
"""


def test_a_function_in_public_runs_nothing_as_the_owner(
    server: PostgresServer, dsn: str, owner: psycopg.Connection[Any]
) -> None:
    """`quote_ident(name)` fits a name better than the server's own, which takes text."""
    owner.execute("grant create on schema public to mallory")
    with psycopg.connect(server.dsn("grants", "mallory", "m"), autocommit=True) as mallory:
        mallory.execute(EVIL)
    try:
        owner.execute("create policy odd on two_tower.interactions to analyst using (true)")
        owner.execute("create table two_tower.other (like two_tower.interactions)")
        owner.execute(
            "select two_tower.copy_privileges('two_tower.interactions', 'two_tower.other')"
        )
        owner.execute("select two_tower.assert_nothing_follows_old_tables()")
        owner.execute("select two_tower.tune_search(null)")
        sync(owner, {"anon": "service"})
        ran_as = owner.execute("select current_setting('evil.ran_as', true)").fetchone()
        assert ran_as in ((None,), ("",))
    finally:
        with psycopg.connect(server.dsn("grants", "mallory", "m"), autocommit=True) as mallory:
            mallory.execute("drop function public.quote_ident(name)")
        owner.execute("revoke create on schema public from mallory")
        owner.execute("drop policy odd on two_tower.interactions")
        owner.execute("drop table if exists two_tower.other")


def test_every_function_names_its_search_path(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "select p.oid::regprocedure::text from pg_proc as p"
        " where p.oid = any (select o.id from two_tower.granted_objects() as o"
        "  where o.kind = 'routine')"
        " and not coalesce(p.proconfig, '{}') @> array['search_path=pg_catalog, pg_temp']"
    ).fetchall()
    assert rows == []


def test_users_read_their_own_vector_where_a_var_says_so(
    server: PostgresServer, dsn: str, owner: psycopg.Connection[Any]
) -> None:
    ids = "select user_id from public.user_embeddings"
    sync(owner, TIERS, own_vectors=True)
    with request(server, dsn, "authenticated", "user_3") as connection:
        assert connection.execute(ids).fetchall() == [("user_3",)]
        assert outcome(connection, "select * from two_tower.interactions").startswith(REFUSED)
        assert outcome(connection, "select two_tower.reviewer_of_request()").startswith(REFUSED)
    with request(server, dsn, "authenticated") as connection:
        assert connection.execute(ids).fetchall() == []
    with request(server, dsn, "anon", "user_3") as connection:
        assert outcome(connection, ids) == REFUSED + "table user_embeddings"
    with request(server, dsn, "service_role") as connection:
        assert len(connection.execute(ids).fetchall()) == USERS
        assert connection.execute(SEEN.format("true")).fetchone() == (35,)
    sync(owner, {"authenticated": "user", "analyst": "service"}, own_vectors=True)
    owner.execute("set role analyst")
    assert len(owner.execute(ids).fetchall()) == USERS
    owner.execute("reset role")

    sync(owner, TIERS, own_vectors=False)
    with request(server, dsn, "authenticated", "user_3") as connection:
        assert outcome(connection, ids) == REFUSED + "table user_embeddings"
    left = owner.execute(
        "select c.relrowsecurity, array(select polname::text from pg_policy where polrelid = c.oid)"
        " from pg_class as c where c.oid = 'public.user_embeddings'::regclass"
    ).fetchone()
    assert left is not None
    assert left[0] is False
    assert set(left[1]) <= {"two_tower_api"}


def test_row_level_security_of_a_team_outlives_own_vectors(
    owner: psycopg.Connection[Any],
) -> None:
    owner.execute("create policy theirs on public.user_embeddings to analyst using (true)")
    for own_vectors in (True, False):
        sync(owner, TIERS, own_vectors)
        flag = owner.execute(
            "select relrowsecurity from pg_class where oid = 'public.user_embeddings'::regclass"
        ).fetchone()
        assert flag == (True,)
    owner.execute("drop policy theirs on public.user_embeddings")
    owner.execute("alter table public.user_embeddings disable row level security")


def test_a_swap_and_a_rollback_keep_who_may_read(
    server: PostgresServer, dsn: str, owner: psycopg.Connection[Any]
) -> None:
    """And the pair that is not served is nobody's."""
    ids = "select user_id from public.user_embeddings"
    sync(owner, TIERS, own_vectors=True)
    owner.execute("grant select on public.video_embeddings to analyst")

    def swap(statement: str) -> None:
        owner.execute(statement)  # type: ignore[arg-type]
        for role in TIERS:
            previous = {f"public.{base}_embeddings_previous" for base in ("user", "video")}
            assert not may_read(owner, role) & previous, (statement, role)
        assert "public.video_embeddings" in may_read(owner, "analyst")
        with request(server, dsn, "authenticated", "user_3") as connection:
            assert connection.execute(ids).fetchall() == [("user_3",)]
        with request(server, dsn, "service_role") as connection:
            assert len(connection.execute(ids).fetchall()) == USERS
            assert connection.execute(SEEN.format("true")).fetchone() == (35,)

    for version in ("w", "x"):
        for base in ("user_embeddings", "video_embeddings"):
            owner.execute(
                f"create table two_tower.{base}_next (like public.{base} including indexes);"
                f"insert into two_tower.{base}_next select * from public.{base}"
            )
        owner.execute(
            "insert into two_tower.model_releases select max(release_id) + 1, %s, now(), false,"
            " 20, 40, null, null, true, 1 from two_tower.model_releases",
            (version,),
        )
        swap("select two_tower.publish_release()")
    swap("select * from two_tower.rollback_release()")
    owner.execute("revoke all on public.video_embeddings from analyst")


def test_own_vectors_says_which_function_it_needs(
    owner: psycopg.Connection[Any],
) -> None:
    owner.execute("alter function two_tower.reviewer_of_request() rename to gone")
    try:
        with pytest.raises(psycopg.errors.UndefinedFunction, match="own_vectors needs"):
            sync(owner, TIERS, own_vectors=True)
    finally:
        owner.execute("alter function two_tower.gone() rename to reviewer_of_request")


@pytest.fixture(scope="module")
def api_server() -> Iterator[PostgresServer]:
    """A server with the role of the functions, made by a role that may make roles."""
    with running_postgres() as started:
        password = PASSWORD.replace("'", "''")
        started.as_superuser(
            f"create role maker login createrole password '{password}'",
            f"create role app login password '{password}'",
            f"create role stranger login password '{password}'",
            *grants_world.ROLES,
        )
        dsn = grants_world.prepare(started, "made", role="maker")
        started.as_superuser(
            "grant usage on schema extensions to maker with grant option", database="made"
        )
        with psycopg.connect(dsn, autocommit=True) as connection:
            sync(connection, TIERS)
        yield started


def owners(connection: psycopg.Connection[Any]) -> set[str]:
    return {
        row[0]
        for row in connection.execute(
            "select pg_get_userbyid(o.owner) from two_tower.granted_objects() as o"
            " where o.tier <> 'owner'"
        ).fetchall()
    }


def assert_doors_answer(server: PostgresServer, dsn: str) -> None:
    with request(server, dsn, "anon") as connection:
        found = connection.execute(
            "select count(*) from public.similar_videos(%s)", (video_id(1),)
        ).fetchone()
        assert found == (20,)
    with request(server, dsn, "service_role") as connection:
        assert connection.execute(SEEN.format("true")).fetchone() == (35,)


def test_functions_belong_to_a_role_that_may_only_read(api_server: PostgresServer) -> None:
    dsn = api_server.dsn("made", "maker")
    assert_doors_answer(api_server, dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert owners(connection) == {"two_tower_api"}
        role = connection.execute(
            "select rolcanlogin, rolinherit, rolsuper, rolbypassrls from pg_roles"
            " where rolname = 'two_tower_api'"
        ).fetchone()
        assert role == (False, False, False, False)
        named = connection.execute("select name from two_tower.app_tables()").fetchall()
        assert may_read(connection, "two_tower_api") <= {name for (name,) in named}
        assert may_read(connection, "two_tower_api") >= SHARED
        made = connection.execute(
            "select has_schema_privilege('two_tower_api', 'public', 'create')"
        ).fetchone()
        assert made == (False,)
        connection.execute("set role two_tower_api")
        for statement in (
            "delete from two_tower.interactions",
            "update two_tower.videos set title = ''",
            "select * from raw.reviews",
            "create table two_tower.mine ()",
        ):
            assert outcome(connection, statement).startswith(REFUSED), statement
        connection.execute("reset role")
        grants_world.install(connection)
        sync(connection, TIERS)
        assert owners(connection) == {"two_tower_api"}
    assert_doors_answer(api_server, dsn)


def test_row_level_security_hides_nothing_from_the_functions(api_server: PostgresServer) -> None:
    """Or a viewed video would be recommended again."""
    dsn = api_server.dsn("made", "maker")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name in SHARED:
            connection.execute(f"alter table {name} enable row level security")
        assert_doors_answer(api_server, dsn)
        for name in SHARED:
            connection.execute(f"alter table {name} disable row level security")


# What somebody says, and a model that knows it.
SAID = (
    "insert into raw.said values ('new', 'language=ja')",
    "insert into two_tower.vocab_user_category values ('language=ja', 0)",
    "insert into two_tower.feature_layout (feature_id, tower, vocabulary, layout_hash)"
    " values (12, 'user', 'user_category', 'h')",
    "insert into two_tower.slot_blocks"
    " values ('v', 12, 'user_categories', 'profile', 'user_category', 1, null, 'h')",
    "insert into two_tower.slot_vectors"
    " select 'v', 12, 0, embedding from public.video_embeddings order by video_id limit 1",
)


def test_what_somebody_new_says_is_read_for_them_and_by_nobody(api_server: PostgresServer) -> None:
    """The view's owner may read the app's table; the functions read the view."""
    dsn = api_server.dsn("made", "maker")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in SAID:
            connection.execute(statement)
        own = {"two_tower.stg_user_categories", "two_tower.vocab_user_category"}
        assert may_read(connection, "two_tower_api") >= own
        for role in TIERS:
            assert not may_read(connection, role) & {*own, "raw.said"}
    with request(api_server, dsn, "service_role") as connection:
        for name, source in (("new", "model"), ("nobody", "popular")):
            found = connection.execute(
                "select distinct source from public.recommend_videos(%s)", (name,)
            ).fetchall()
            assert found == [(source,)]
        asked = "select * from two_tower.stg_user_categories"
        assert outcome(connection, asked).startswith(REFUSED)


def test_an_admin_may_make_the_role_beforehand(api_server: PostgresServer) -> None:
    api_server.as_superuser("grant two_tower_api to app")
    dsn = grants_world.prepare(api_server, "by_admin")
    usage = "usage on schema extensions {} two_tower_api"
    api_server.as_superuser("grant " + usage.format("to"), database="by_admin")
    with psycopg.connect(dsn, autocommit=True) as connection:
        sync(connection, TIERS)
        assert owners(connection) == {"two_tower_api"}
        assert_doors_answer(api_server, dsn)
        # Without it the functions would find no vector.
        api_server.as_superuser("revoke " + usage.format("from"), database="by_admin")
        sync(connection, TIERS)
        assert owners(connection) == {"app"}
    assert_doors_answer(api_server, dsn)


def test_where_the_role_is_not_ours_the_owner_keeps_the_functions(
    api_server: PostgresServer,
) -> None:
    dsn = grants_world.prepare(api_server, "of_a_stranger", role="stranger")
    with psycopg.connect(dsn, autocommit=True) as connection:
        sync(connection, TIERS)
        assert owners(connection) == {"stranger"}
        assert may_read(connection, "two_tower_api") == set()
    assert_doors_answer(api_server, dsn)


MODELS = ("--select", "+interactions", "+popularity", "+videos")


@pytest.fixture(scope="module")
def built(
    server: PostgresServer, dbt_target: Path, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """A database that dbt has built, as the version before tiers left it."""
    dsn = server.prepare("built")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for scope in ("", "in schema public"):
            for kind in ("tables", "functions", "sequences"):
                connection.execute(grants_world.DEFAULTS.format(scope, kind).encode())
    settings = make_settings("postgres", database_url=dsn, **folders(tmp_path_factory.mktemp("b")))
    write_data(settings)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)  # type: ignore[arg-type]
    setup.prepare(settings)
    return settings


def write_data(settings: Settings) -> None:
    folder = settings.path(settings.data_dir)
    for part, files in (("reviews", {"dmm_reviews_1.csv": REVIEWS}), ("catalogue", CATALOGUE)):
        (folder / part).mkdir(parents=True)
        for name, content in files.items():
            (folder / part / name).write_text(content, encoding="utf-8")


def build(settings: Settings, roles: object, *arguments: str, own_vectors: bool = False) -> None:
    given = json.dumps({"serving_roles": roles, "own_vectors": own_vectors})
    dbt.run(settings, "run", *(arguments or MODELS), "--vars", given)


def connect(settings: Settings) -> psycopg.Connection[Any]:
    assert settings.database_url is not None
    return psycopg.connect(settings.database_url.get_secret_value(), autocommit=True)


def test_a_build_grants_and_revokes_and_keeps_what_a_team_has_set(built: Settings) -> None:
    build(built, ["anon", "authenticated", "service_role"])
    with connect(built) as connection:
        assert may_read(connection, "anon") == may_read(connection, "authenticated") == set()
        assert may_read(connection, "service_role") == SHARED
        assert may_call(connection, "anon") == {
            door["name"] for door in doors(connection) if door["tier"] == "visitor"
        }
        # What a team does by hand, and the rest of what the former version granted.
        connection.execute(
            "alter table two_tower.interactions enable row level security;"
            "alter table two_tower.interactions force row level security;"
            "create policy theirs on two_tower.interactions for select to analyst"
            " using (user_id = current_user);"
            "create policy builder on two_tower.interactions to app using (true);"
            "grant select (user_id) on two_tower.interactions to analyst;"
            "grant select on two_tower.stg_videos to analyst with grant option;"
            "alter view two_tower.stg_videos set (security_invoker = true);"
            "grant select on two_tower.interactions, two_tower.videos to anon;"
            "grant execute on function public.recommend_videos to anon;"
        )
        before = state(connection)
        # As before there was copy_privileges in a build.
        connection.execute("drop function two_tower.sync_grants, two_tower.app_grants")
    build(built, {"anon": "visitor"}, "--select", "interactions", "stg_videos")
    with connect(built) as connection:
        assert state(connection) == before
        assert may_read(connection, "anon") == set()
        assert "public.recommend_videos" not in may_call(connection, "anon")
        assert may_call(connection, "service_role") == set()
        assert may_read(connection, "analyst") == {"two_tower.interactions", "two_tower.stg_videos"}


def state(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,"
        " array(select format('%s %s %s', p.polname, p.polroles::regrole[],"
        "  pg_get_expr(p.polqual, p.polrelid)) from pg_policy as p where p.polrelid = c.oid"
        "  order by p.polname)"
        " from pg_class as c where c.relname in ('interactions', 'stg_videos') order by 1"
    ).fetchall()


def test_the_command_applies_and_shows(built: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the build of the test before it."""
    with connect(built) as connection:
        connection.execute("grant select on two_tower.videos to analyst")
        connection.execute("grant select on two_tower.videos to anon")
        sync(connection, {"anon": "visitor"})
        connection.execute("grant select on two_tower.videos to anon")
    shown = {(row.role, row.object): row for row in grants.shown(built)}
    assert shown["anon", "two_tower.videos"].is_allowed
    assert not shown["anon", "two_tower.videos"].is_wanted
    assert shown["analyst", "two_tower.videos"].undo == (
        "revoke all on table two_tower.videos from analyst;"
    )
    terminal.grants(list(shown.values()))
    printed = capsys.readouterr().out
    assert re.search(r"public.similar_videos\s+│? ?yes", printed)
    assert re.search(r"two_tower.videos\s+│? ?yes !", printed)
    assert "by no tier: revoke all on table two_tower.videos from analyst;" in printed
    assert {row.object for row in shown.values() if row.tier and row.object not in printed} == set()
    # The project's own var names nobody.
    rows = grants.applied(built)
    assert {row.role for row in rows if row.tier} == set()
    assert ("analyst", "two_tower.videos") in {(row.role, row.object) for row in rows}
    with connect(built) as connection:
        assert may_read(connection, "anon") == may_call(connection, "anon") == set()


def test_the_command_refuses_a_role_that_does_not_exist(built: Settings) -> None:
    """Passed over, it would be found out by the app."""
    given = json.dumps({"serving_roles": ["anon", "no_role", "nor_this"]})
    with pytest.raises(InputError, match="names no_role, nor_this, no role of this server"):
        dbt.run(built, "run-operation", "apply_serving_roles", "--vars", given)


WRONG = [
    ({"anon": "guest"}, "guest, the tier of anon, is none of visitor, user and service"),
    ("anon", "write a list of roles, or a mapping"),
    (7, "write a list of roles, or a mapping"),
    (["public"], "names public, which is no role of an app"),
    ({"two_tower_api": "service"}, "names two_tower_api, which is no role of an app"),
]


def tiers(roles: object) -> dict[str, str]:
    """Return what the macro makes of the var, without a dbt to start."""
    found: list[dict[str, str]] = []
    text = (PROJECT_DIR / "macros/release/serving_grants.sql").read_text(encoding="utf-8")
    macro = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(
        text[: text.index("{%- endmacro %}")] + "{% endmacro %}{{ serving_tiers() }}"
    )

    def refuse(message: str) -> None:
        raise InputError(message)

    macro.render(
        {
            "var": lambda name: roles,
            "return": found.append,
            "exceptions": SimpleNamespace(raise_compiler_error=refuse),
        }
    )
    return found[0]


def test_a_list_of_roles_has_tiers_by_name() -> None:
    assert tiers(["anon", "authenticated", "service_role", "web"]) == TIERS | {"web": "service"}
    assert tiers({"anon": "service"}) == {"anon": "service"}
    assert tiers([]) == tiers(None) == {}


@pytest.mark.parametrize(("roles", "said"), WRONG)
def test_what_is_no_role_or_tier_is_named(roles: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        tiers(roles)


def test_what_is_no_tier_ends_a_build_before_it_begins(built: Settings) -> None:
    oid = "select 'two_tower.videos'::regclass::oid"
    with connect(built) as connection:
        before = connection.execute(oid).fetchone()
        with pytest.raises(InputError, match=WRONG[0][1]):
            build(built, WRONG[0][0], "--select", "videos")
        assert connection.execute(oid).fetchone() == before


def test_doctor_names_roles_that_are_not_there_and_whose_the_functions_are(
    built: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "project_vars", lambda _: {"serving_roles": ["anon", "nobody"]})
    with open_warehouse(built) as warehouse:
        found = privilege_checks._serving(built, {}, warehouse)  # type: ignore[arg-type]
    assert [(check.name, check.state) for check in found] == [
        ("serving roles", "warning"),
        ("functions", "ok"),
    ]
    assert "no role nobody" in found[0].found
    assert "run as app" in found[1].found
    assert "docs/your-postgres.md" in found[1].fix
