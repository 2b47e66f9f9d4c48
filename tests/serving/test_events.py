"""What the app records: who may, what is refused, where it is kept, and that it stays."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from conftest import PROJECT_DIR
from postgres_server import PASSWORD, PostgresServer
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import PostgresWarehouse
from two_tower.operations import step_cache
from two_tower.operations.forget_user import forget

SQL = PROJECT_DIR / "sql"
MADE = (
    *("functions/text_value", "functions/served_versions", "functions/refuse_event_changes"),
    *("functions/check_experiment", "statements/make_events", "functions/make_event_partitions"),
    *("functions/forget_events", "statements/make_served_tables", "functions/reviewer_of_request"),
    *("functions/may_act_for", "functions/acting_user", "functions/variant_of"),
    *("functions/excluded_videos", "functions/recommend_videos", "functions/record_event"),
    *("functions/record_impressions", "functions/recorded_user"),
)
VIDEOS = [str(uuid.UUID(int=number)) for number in range(1, 6)]
# What dbt and `two-tower load` make of it, as far as events read it.
WORLD = """
create schema raw; create schema two_tower;
create table raw.forgotten_users (user_hash text primary key, salt text not null);
create table raw.videos (id uuid primary key);
create view two_tower.stg_videos as select id as video_id from raw.videos;
create table two_tower.videos (video_id uuid);
create table two_tower.interactions (user_id text, item_id uuid);
create table two_tower.popularity (video_id uuid, score double precision, popularity_rank integer);
create table two_tower.model_releases (release_id bigint, version text);
create table two_tower.int_moment as select timestamp '2026-01-01' as as_of;
"""
OWNED_ROLES = ("events_visitor", "events_person", "events_service", "events_gate")

Connection = psycopg.Connection[Any]
Recorded = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> str:
    """The URL of a database of the plain role, with everything that events need."""
    dsn = postgres_server.prepare("events")
    for role in OWNED_ROLES:
        login = f"login password '{PASSWORD}' noinherit" if role == "events_gate" else "nologin"
        postgres_server.as_superuser(f"create role {role} {login}")
    postgres_server.as_superuser(
        "grant events_visitor, events_person, events_service to events_gate"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(WORLD)
        # In the order of a release what a function calls is made before it.
        connection.execute("set check_function_bodies = off")
        for name in MADE:
            connection.execute((SQL / f"{name}.sql").read_bytes())
        connection.execute("select two_tower.make_event_partitions(1)")
        connection.cursor().executemany(
            "insert into raw.videos values (%s)", [(video,) for video in VIDEOS]
        )
        connection.execute(
            "revoke execute on all functions in schema public, two_tower from public;"
            "grant execute on function public.record_event, public.record_impressions"
            " to events_visitor, events_person, events_service;"
            "grant execute on function public.recommend_videos to events_service"
        )
    return dsn


@pytest.fixture
def owner(database: str) -> Iterator[Connection]:
    """A connection of the plain role; what a test writes is rolled back."""
    with psycopg.connect(database) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def call_as(database: str, postgres_server: PostgresServer) -> Iterator[Callable[..., Any]]:
    """Call a statement as PostgREST does: a session of its own, `set role`, the claims."""
    dsn = postgres_server.dsn("events", "events_gate")
    with psycopg.connect(dsn) as connection:

        def call(role: str, statement: str, *params: Any, sub: str | None = None) -> Any:
            claims = json.dumps({"sub": sub}) if sub else ""
            connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
            connection.execute(f"set local role {role}")  # type: ignore[arg-type]
            row = connection.execute(statement, params).fetchone()  # type: ignore[arg-type]
            assert row is not None
            return row[0]

        yield call
        connection.rollback()


def events(connection: Connection, columns: str = "*") -> Recorded:
    query = f"select {columns} from two_tower.events order by event_id"
    return connection.execute(query).fetchall()  # type: ignore[arg-type]


def release(connection: Connection, *versions: str) -> None:
    """Let the versions have been released, the first one first."""
    for number, version in enumerate(versions, 1):
        connection.execute(
            "insert into two_tower.model_releases values (%s, %s)", (number, version)
        )
    if len(versions) > 1:
        connection.execute("create table public.video_embeddings_previous (video_id uuid)")


def test_an_event_is_recorded_once_with_all_that_was_said(owner: Connection) -> None:
    added = owner.execute(
        "select public.record_event(p_video_id => %s, p_kind => 'view', p_weight => 0.25,"
        " p_user_id => %s)",
        (VIDEOS[0], "\u200bu\u0301ne\u3000"),
    ).fetchone()
    assert added is not None
    [(event_id, *said, happened_at)] = events(
        owner, "event_id, user_id, video_id::text, kind, weight, release_id, rank, happened_at"
    )
    assert event_id == added[0]
    assert said == ["\u00fane", VIDEOS[0], "view", 0.25, None, None]  # stored as any other id
    assert abs(happened_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_list_is_recorded_in_order_at_one_moment(owner: Connection) -> None:
    for _ in range(2):
        count = owner.execute(
            "select public.record_impressions(%s::uuid[], 'u', 7, 'likes')",
            ([VIDEOS[2], VIDEOS[0]],),
        ).fetchone()
        assert count == (2,)
    rows = events(owner, "video_id::text, kind, rank, release_id, source, happened_at")
    expected = [(VIDEOS[2], "impression", 1, 7, "likes"), (VIDEOS[0], "impression", 2, 7, "likes")]
    assert [row[:-1] for row in rows] == 2 * expected
    # Two lists, even of one transaction, are told apart by their moments.
    assert rows[0][-1] == rows[1][-1] < rows[2][-1] == rows[3][-1]


@pytest.mark.parametrize("videos", [None, []])
def test_a_list_of_nothing_is_no_event(owner: Connection, videos: list[str] | None) -> None:
    assert owner.execute(
        "select public.record_impressions(%s::uuid[], 'u')", (videos,)
    ).fetchone() == (0,)
    assert events(owner) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("record_event('{video}', 'nonsense', null, 'u')", "click, view, like, dislike, purchase"),
        ("record_event('{video}', null, null, 'u')", "click, view, like, dislike, purchase"),
        ("record_event('{video}', 'impression', null, 'u')", "click, view, like, dislike, pur"),
        ("record_event('{video}', 'view', 1.5, 'u')", "p_weight is 1.5; it is 0 to 1"),
        ("record_event('{video}', 'view', -0.1, 'u')", "p_weight is -0.1; it is 0 to 1"),
        ("record_event('{video}', 'view', 'NaN', 'u')", "p_weight is NaN; it is 0 to 1"),
        ("record_event('{video}', 'view', 'infinity', 'u')", "p_weight is Infinity; it is"),
        ("record_event('{stranger}', 'like', null, 'u')", "{stranger} is no video of the cat"),
        ("record_event(null, 'like', null, 'u')", "null is no video of the catalogue"),
        ("record_impressions(array['{video}', '{stranger}']::uuid[], 'u')", "{stranger} is no vi"),
        ("record_impressions(array['{video}', null]::uuid[], 'u')", "null is no video"),
        ("record_impressions(array_fill('{video}'::uuid, array[10001]), 'u')", "at most 10000"),
        ("record_impressions(array['{video}']::uuid[], 'u', 0)", "p_release_id is 0; it is 1 or"),
        ("record_impressions(array['{video}']::uuid[], 'u', 1, 'x')", "model, likes, popular"),
        # Ids that a review file may not have.
        ("record_event('{video}', 'like', null, repeat('x', 501))", "501 characters; it has at m"),
        ("record_event('{video}', 'like', null, 'a\ufffdb')", "has lost characters"),
        ("record_event('{video}', 'like', null, '????')", "has lost characters"),
        ("record_event('{video}', 'like', null, '1.23457E+15')", "has lost characters"),
        ("record_event('{video}', 'like', null, 'undefined')", "'undefined', which programs write"),
        ("record_impressions(array['{video}']::uuid[], 'a\ufffdb')", "has lost characters"),
    ],
)
def test_what_is_not_true_is_refused_and_says_what_is(
    owner: Connection, call: str, said: str
) -> None:
    names = {"video": VIDEOS[0], "stranger": str(uuid.UUID(int=99))}
    with pytest.raises(errors.InvalidParameterValue) as refused:
        owner.execute(f"select public.{call.format(**names)}")  # type: ignore[arg-type]
    assert said.format(**names) in str(refused.value)


def test_an_id_of_500_characters_is_one(owner: Connection) -> None:
    for user in ("x" * 500, "?", "1E15", "nobody?"):
        owner.execute("select public.record_event(%s, 'like', null, %s)", (VIDEOS[0], user))
    assert len(events(owner)) == 4


NOBODY = [
    "select public.record_event(%s, 'like')",
    "select public.record_event(%s, 'like', null, ' \u200b ')",
    "select public.record_impressions(array[%s]::uuid[])",
]


@pytest.mark.parametrize("statement", NOBODY)
@pytest.mark.parametrize("role", ["events_visitor", "events_person", "events_service"])
def test_an_event_is_somebodys(call_as: Callable[..., Any], statement: str, role: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="the request is from nobody"):
        call_as(role, statement, VIDEOS[0])


def test_a_person_records_for_themselves(call_as: Callable[..., Any], owner: Connection) -> None:
    assert call_as("events_person", "select public.record_event(%s, 'like')", VIDEOS[0], sub="me")
    # Named, and in another spelling that nobody can tell apart.
    own = "select public.record_event(%s, 'like', null, ' me')"
    assert call_as("events_person", own, VIDEOS[0], sub="me")


@pytest.mark.parametrize(
    "statement",
    [
        "select public.record_event(%s, 'like', null, 'another')",
        "select public.record_impressions(array[%s]::uuid[], 'another')",
    ],
)
@pytest.mark.parametrize(
    ("role", "sub"),
    [("events_visitor", None), ("events_visitor", "me"), ("events_person", "me")],
)
def test_nobody_records_for_another_person(
    call_as: Callable[..., Any], statement: str, role: str, sub: str | None
) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="names another person"):
        call_as(role, statement, VIDEOS[0], sub=sub)


def test_a_service_records_for_anybody(call_as: Callable[..., Any]) -> None:
    statement = "select public.record_impressions(array[%s]::uuid[], 'another')"
    assert call_as("events_service", statement, VIDEOS[0]) == 1


def test_a_namesake_of_recommend_videos_gives_no_right(
    owner: Connection, postgres_server: PostgresServer
) -> None:
    """Whoever may create in `public` cannot make themselves a service."""
    postgres_server.as_superuser(
        "grant create on schema public to events_person", database="events"
    )
    try:
        with psycopg.connect(postgres_server.dsn("events", "events_gate")) as connection:
            connection.execute("set role events_person")
            connection.execute(
                "create function public.recommend_videos(integer) returns integer"
                " language sql as 'select 1'"
            )
            with pytest.raises(errors.InsufficientPrivilege, match="names another person"):
                connection.execute(
                    "select public.record_event(%s, 'like', null, 'another')", (VIDEOS[0],)
                )
            connection.rollback()
    finally:
        postgres_server.as_superuser(
            "revoke create on schema public from events_person", database="events"
        )


def test_an_account_is_mapped_to_its_reviewer(owner: Connection) -> None:
    owner.execute("insert into two_tower.app_users values ('account 1', 'reviewer 1')")
    for account, user in (("account 1", "reviewer 1"), ("account 2", "account 2"), (None, None)):
        claims = json.dumps({"sub": account}) if account else ""
        owner.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        assert owner.execute("select two_tower.reviewer_of_request()").fetchone() == (user,)
    owner.execute("select set_config('request.jwt.claims', 'account 1', true)")
    with pytest.raises(errors.InvalidParameterValue, match=r"request\.jwt\.claims is no JSON"):
        owner.execute("select two_tower.reviewer_of_request()")


def test_a_teams_own_reviewer_of_request_survives(owner: Connection) -> None:
    owner.execute(
        "create or replace function two_tower.reviewer_of_request() returns text"
        " language sql as 'select ''theirs''::text'"
    )
    owner.execute((SQL / "functions/reviewer_of_request.sql").read_bytes())
    owner.execute("select public.record_event(%s, 'like')", (VIDEOS[0],))
    assert events(owner, "user_id") == [("theirs",)]


@pytest.mark.parametrize(
    "statement",
    [
        "update two_tower.events set kind = 'dislike'",
        "update two_tower.events_default set kind = 'dislike'",
        "delete from two_tower.events",
        "delete from two_tower.{month}",
        # Not even what may be deleted may be changed.
        "set local two_tower.events_may_go = 'on'; update two_tower.events set weight = 1",
    ],
)
def test_events_stay_as_they_are(owner: Connection, statement: str) -> None:
    owner.execute("select public.record_event(%s, 'like', null, 'u')", (VIDEOS[0],))
    insert(owner, "2031-01-01")  # in the default partition
    before = events(owner)
    month = f"events_{datetime.now(UTC):%Y_%m}"
    owner.execute("savepoint before")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="append-only"):
        owner.execute(statement.format(month=month))  # type: ignore[arg-type]
    owner.execute("rollback to before")
    assert events(owner) == before


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("kind", "nonsense"),
        ("user_id", ""),
        ("user_id", " u"),
        ("weight", "NaN"),
        ("weight", "1.1"),
        ("rank", "0"),
        ("source", "x"),
    ],
)
def test_the_table_itself_refuses_what_is_not_true(
    owner: Connection, column: str, value: str
) -> None:
    given = {"user_id": "u", "video_id": VIDEOS[0], "kind": "like", column: value}
    names, values = ", ".join(given), ", ".join(["%s"] * len(given))
    with pytest.raises(errors.CheckViolation):
        owner.execute(
            f"insert into two_tower.events ({names}) values ({values})",  # type: ignore[arg-type]
            list(given.values()),
        )


def insert(connection: Connection, happened_at: str, user: str = "u") -> None:
    connection.execute(
        "insert into two_tower.events (user_id, video_id, kind, happened_at)"
        " values (%s, %s, 'like', %s)",
        (user, VIDEOS[0], f"{happened_at}+00"),
    )


def partitions(connection: Connection) -> dict[str, int]:
    """Return partition -> its rows."""
    names = connection.execute(
        "select inhrelid::regclass::text from pg_inherits"
        " where inhparent = 'two_tower.events'::regclass"
    ).fetchall()
    counts = {}
    for (name,) in names:
        row = connection.execute(f"select count(*) from only {name}").fetchone()  # type: ignore[arg-type]
        assert row is not None
        counts[name.removeprefix("two_tower.")] = row[0]
    return counts


def next_months(count: int) -> list[str]:
    today = datetime.now(UTC)
    numbers = [today.year * 12 + today.month - 1 + ahead for ahead in range(count)]
    return [f"events_{number // 12}_{number % 12 + 1:02}" for number in numbers]


def test_months_are_made_ahead_and_what_waits_in_the_default_is_moved(owner: Connection) -> None:
    assert set(partitions(owner)) == {"events_default", *next_months(2)}
    insert(owner, "2020-02-29 23:59:59.999999")
    insert(owner, "2020-03-01 00:00:00")
    insert(owner, "2099-01-01 00:00:00")
    # A month that had no partition yet, as when no build ran for long.
    later = datetime.strptime(next_months(4)[3], "events_%Y_%m")
    insert(owner, f"{later:%Y-%m-%d}")
    before = events(owner)
    assert partitions(owner)["events_default"] == 4
    made = owner.execute("select two_tower.make_event_partitions(3)").fetchone()
    assert made == (4,)
    assert {name: rows for name, rows in partitions(owner).items() if rows} == {
        "events_2020_02": 1,
        "events_2020_03": 1,
        next_months(4)[3]: 1,
        "events_default": 1,
    }
    assert events(owner) == before
    assert owner.execute("select two_tower.make_event_partitions(3)").fetchone() == (0,)
    # What was moved is as protected as before.
    owner.execute("savepoint before")
    with pytest.raises(errors.ObjectNotInPrerequisiteState):
        owner.execute("delete from two_tower.events_2020_02")
    owner.execute("rollback to before")


def test_every_partition_has_row_level_security(owner: Connection) -> None:
    owner.execute("select two_tower.make_event_partitions(2)")
    rows = owner.execute(
        "select relname from pg_class where relnamespace = 'two_tower'::regnamespace and relkind"
        " in ('r', 'p') and relname ~ '^(events|app_users|hidden_|boosts|experiments)'"
        " and not relrowsecurity"
    ).fetchall()
    assert rows == []


def test_old_months_are_dropped_when_asked(owner: Connection) -> None:
    today = datetime.now(UTC)
    months = []
    for ago in (1, 2, 3):
        number = today.year * 12 + today.month - 1 - ago
        months.append(f"{number // 12}-{number % 12 + 1:02}")
        insert(owner, f"{months[-1]}-28")
    owner.execute("select two_tower.make_event_partitions(0)")
    assert len(events(owner)) == 3
    owner.execute("select two_tower.make_event_partitions(0, 2)")
    assert [f"{at:%Y-%m}" for (at,) in events(owner, "happened_at")] == months[:2]


def test_making_the_tables_again_changes_and_locks_nothing(database: str) -> None:
    """As each build does, while the app writes."""
    with psycopg.connect(database) as app, psycopg.connect(database) as build:
        app.execute("select public.record_event(%s, 'like', null, 'u')", (VIDEOS[0],))
        build.execute("set lock_timeout = '2s'")
        build.execute((SQL / "statements/make_events.sql").read_bytes())
        build.execute("select two_tower.make_event_partitions(1), two_tower.forget_events()")
        assert len(events(app)) == 1
        app.rollback()


def test_who_was_forgotten_goes_and_keeps_going(owner: Connection) -> None:
    hashed = hashlib.sha256(b"salt:gone").hexdigest()
    for user in ("gone", "stays", "gone"):
        owner.execute("select public.record_event(%s, 'like', null, %s)", (VIDEOS[0], user))
        owner.execute(
            "insert into two_tower.app_users values (%s, %s) on conflict do nothing",
            (f"account of {user}", user),
        )
    assert owner.execute("select two_tower.forget_events()").fetchone() == (0,)
    owner.execute("insert into raw.forgotten_users values (%s, 'salt')", (hashed,))
    assert owner.execute("select two_tower.forget_events()").fetchone() == (2,)
    owner.execute("select public.record_event(%s, 'like', null, 'gone')", (VIDEOS[0],))
    assert owner.execute("select two_tower.forget_events()").fetchone() == (1,)
    assert events(owner, "user_id") == [("stays",)]
    assert owner.execute("select user_id from two_tower.app_users").fetchall() == [("stays",)]
    # And nothing else may go in this transaction.
    with pytest.raises(errors.ObjectNotInPrerequisiteState):
        owner.execute("delete from two_tower.events")


def test_what_was_done_is_seen_and_what_was_shown_is_not(owner: Connection) -> None:
    for video, kind in zip(VIDEOS[1:], ["view", "like", "dislike", "click"], strict=True):
        owner.execute("select public.record_event(%s, %s, null, 'u')", (video, kind))
    owner.execute("select public.record_impressions(array[%s]::uuid[], 'u')", (VIDEOS[4],))
    owner.execute("select public.record_event(%s, 'like', null, 'another')", (VIDEOS[4],))
    rows = owner.execute("select unnest(two_tower.excluded_videos(null, 'u'))").fetchall()
    # Reviews are looked up in interactions, by the search.
    assert sorted(str(video) for (video,) in rows) == VIDEOS[1:4]


def draw(salt: str, user: str) -> float:
    return int(hashlib.md5(f"{salt}:{user}".encode()).hexdigest()[:8], 16) / 2**32


@pytest.mark.parametrize("treated", ["v2", "v1"])
def test_an_experiment_serves_two_releases_by_a_hash(owner: Connection, treated: str) -> None:
    release(owner, "v0", "v1", "v2")
    owner.execute(
        "insert into two_tower.experiments (name, version, share) values ('e', %s, 0.3)", (treated,)
    )
    control = {"v1": "v2", "v2": "v1"}[treated]
    users = [f"user {number}" for number in range(300)]
    rows = owner.execute(
        "select u.id, v.experiment, v.variant, v.version, v.is_previous from"
        " unnest(%s::text[]) as u (id) cross join lateral two_tower.variant_of(u.id) as v",
        (users,),
    ).fetchall()
    expected = []
    for user in users:
        is_treated = draw("e", user) < 0.3
        version = treated if is_treated else control
        variant = "treatment" if is_treated else "control"
        expected.append((user, "e", variant, version, version == "v1"))
    assert sorted(rows) == sorted(expected)
    treated_share = sum(row[2] == "treatment" for row in rows) / len(users)
    assert math.isclose(treated_share, 0.3, abs_tol=0.1)


def test_events_say_which_variant_their_user_was_in(owner: Connection) -> None:
    release(owner, "v1", "v2")
    owner.execute("select public.record_event(%s, 'like', null, 'before')", (VIDEOS[0],))
    owner.execute(
        "insert into two_tower.experiments (name, version, share) values ('e', 'v2', 0.5)"
    )
    users = dict.fromkeys(("treatment", "control"), "")
    for number in range(50):
        variant = "treatment" if draw("e", f"u{number}") < 0.5 else "control"
        users[variant] = f"u{number}"
    for user in users.values():
        owner.execute("select public.record_event(%s, 'like', null, %s)", (VIDEOS[0], user))
        owner.execute("select public.record_impressions(%s::uuid[], %s)", ([VIDEOS[0]], user))
    owner.execute("update two_tower.experiments set ended_at = now()")
    owner.execute("select public.record_event(%s, 'like', null, 'after')", (VIDEOS[0],))
    assert events(owner, "user_id, experiment, variant") == [
        ("before", None, None),
        *[(user, "e", variant) for variant, user in users.items() for _ in range(2)],
        ("after", None, None),
    ]


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ((), "version v9 is not served: nothing was released"),
        (("v1",), "version v9 is not served: v1 is, and there is none before it"),
        (("v9", "v1", "v2"), "version v9 is not served: v2 is, and v1 was before it"),
        (("v9",), "takes two releases, and there is one"),
    ],
)
def test_an_experiment_needs_a_version_that_is_served(
    owner: Connection, versions: tuple[str, ...], said: str
) -> None:
    release(owner, *versions)
    with pytest.raises(errors.InvalidParameterValue, match=said):
        owner.execute(
            "insert into two_tower.experiments (name, version, share) values ('e', 'v9', 0.5)"
        )


def test_one_experiment_runs_at_a_time(owner: Connection) -> None:
    release(owner, "v1", "v2")
    start = "insert into two_tower.experiments (name, version, share) values (%s, 'v2', 0.5)"
    owner.execute(start, ("first",))
    owner.execute("update two_tower.experiments set ended_at = now()")
    owner.execute(start, ("second",))
    with pytest.raises(errors.UniqueViolation):
        owner.execute(start, ("third",))


def test_an_experiment_ends_when_a_version_of_it_leaves(owner: Connection) -> None:
    release(owner, "v1", "v2")
    owner.execute(
        "insert into two_tower.experiments (name, version, share) values ('e', 'v2', 0.5)"
    )
    assert owner.execute("select * from two_tower.variant_of('u')").fetchall() != []
    owner.execute("insert into two_tower.model_releases values (3, 'v3')")
    assert owner.execute("select * from two_tower.variant_of('u')").fetchall() == []


def test_the_page_says_what_runs(owner: Connection) -> None:
    """Every statement of docs/events.md, in order."""
    page = (PROJECT_DIR / "docs/events.md").read_text("utf-8")
    blocks = re.findall(r"(?ms)^```sql\n(.*?)^```", page)
    for video in sorted(set(re.findall(r"'([0-9a-f-]{36})'", blocks[0]))):
        owner.execute("insert into raw.videos values (%s)", (video,))
    owner.execute("create table public.likes (user_id text, video_id uuid, created_at timestamp)")
    release(owner, "20251229_040000", *re.findall(r"'(\d{8}_\d{6})'", page))
    assert len(blocks) == 4
    for block in blocks:
        owner.execute(block.encode())
    kinds = [kind for (kind,) in events(owner, "kind")]
    assert kinds == ["impression", "impression", "click", "view", "like"]
    ended = owner.execute("select count(ended_at) from two_tower.experiments").fetchone()
    assert ended == (1,)


@pytest.fixture
def recorded(
    clean_postgres: Settings, postgres_dsn: str
) -> Iterator[tuple[Settings, PostgresWarehouse]]:
    """The session's database with the tables of `two-tower load` and of the app."""
    warehouse = PostgresWarehouse(postgres_dsn)
    ddl.ensure_all(warehouse)
    for name in MADE[:7]:
        warehouse.execute((SQL / f"{name}.sql").read_text("utf-8"))
    yield clean_postgres, warehouse
    warehouse.close()


ADDED = (
    "insert into two_tower.events (user_id, video_id, kind, happened_at)"
    " values (?, gen_random_uuid(), 'like', now() - cast(? as interval))"
)


def test_forget_user_removes_a_persons_events_and_account(
    recorded: tuple[Settings, PostgresWarehouse],
) -> None:
    settings, warehouse = recorded
    for user in ("gone", "stays"):
        # Of this month's partition, if it were there, and of the default one.
        for ago in ("0 days", "2000 days"):
            warehouse.execute(ADDED, (user, ago))
        warehouse.execute(
            "insert into two_tower.app_users values ('account of ' || cast(? as text), ?)",
            (user, user),
        )
    warehouse.fetch("select two_tower.make_event_partitions(0)")
    removed = forget(settings, "gone ").rows
    assert removed['"two_tower"."events"'] == 2
    assert removed['"two_tower"."app_users"'] == 1
    for table in ("events", "app_users"):
        rows = warehouse.fetch(f"select distinct user_id from two_tower.{table}")
        assert [row["user_id"] for row in rows] == ["stays"]
    # Who is forgotten stays so: the next build begins with this.
    warehouse.execute(ADDED, ("gone", "0 days"))
    assert warehouse.fetch("select two_tower.forget_events() as n") == [{"n": 1}]


def test_a_run_begins_anew_where_there_are_events_of_before_today(
    recorded: tuple[Settings, PostgresWarehouse],
) -> None:
    settings, warehouse = recorded
    before = step_cache.inputs_of(settings, "build", None)
    assert before is not None
    warehouse.execute(ADDED, ("u", "0 days"))
    # A run that is resumed on the same day finds its steps.
    assert step_cache.inputs_of(settings, "build", None) == before
    warehouse.execute(ADDED, ("u", "1 day"))
    after = step_cache.inputs_of(settings, "build", None)
    assert after not in (None, before)
    # The app's own table changes without anything to compare.
    warehouse.execute("create view raw.app_events as select 1 as one")
    assert step_cache.inputs_of(settings, "build", None) is None


TEXTS = ["", " ", "u", "'; drop table two_tower.events; --", "\\", "%s", "\u202e"]
NUMBERS = [-1.0, 1.5, math.nan, math.inf, -math.inf, 1e-45, 3.4e38]
WHOLE = [0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_said_is_recorded_whole_or_refused_in_words(
    owner: Connection, seed: int
) -> None:
    chance = random.Random(seed)

    def pick(good: list[Any], bad: list[Any]) -> Any:
        return chance.choice([*bad, None] if chance.random() < 0.2 else good)

    strangers = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(3)]
    outcomes = {"recorded": 0, "refused": 0}
    for _ in range(50):
        user = pick(["u", "v", "\u00fa"], TEXTS)
        videos = [pick(VIDEOS, strangers) for _ in range(chance.randrange(1, 4))]
        kind = pick(["click", "view", "like", "dislike", "purchase"], [*TEXTS, "impression"])
        weight = pick([0.0, 0.5, 1.0], NUMBERS)
        listed = (videos, user, pick([1, 7], WHOLE), pick(["model", "likes", "popular"], TEXTS))
        calls: list[tuple[int, str, tuple[Any, ...]]] = [
            (
                1,
                "select public.record_event(%s::uuid, %s, %s::real, %s)",
                (pick(VIDEOS, strangers), kind, weight, user),
            ),
            (len(videos), "select public.record_impressions(%s::uuid[], %s, %s, %s)", listed),
        ]
        for count, statement, params in calls:
            before = len(events(owner))
            owner.execute("savepoint before")
            try:
                owner.execute(statement, params)  # type: ignore[arg-type]
                outcome = "recorded"
            except (errors.InvalidParameterValue, errors.InsufficientPrivilege):
                owner.execute("rollback to before")
                outcome = "refused"
            assert len(events(owner)) == before + (count if outcome == "recorded" else 0)
            outcomes[outcome] += 1
    assert min(outcomes.values()) > 10
