"""The app's functions under roles and arguments that nobody meant: injections, NaN, 2³¹, zeros.

What is here goes over two_tower.app_functions(): a new function needs a row there and nothing here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postgres_server import PASSWORD, running_postgres
from serving import grants_world
from serving.grants_world import HEIGHTS, HIJACK, TIERS, doors, sync, user_id, video_id

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("grants_fuzz")]

MOST_ROWS = 1000
# Invalid values, out of range, null, more than a limit; and what somebody may not do.
EXPECTED = ("22", "42501")

INJECTIONS = [
    "'; drop table two_tower.videos; --",
    "' or '1'='1",
    "$$; select pg_sleep(9); $$",
    "%s %1$I %%",
    "\\'",
    '"; reset role; --',
    "user_0' union select user_id from public.user_embeddings --",
    "{}",
    "",
    " ",
    "\u0085user_1\u200b",
    "\U0001f3a5" * 50,
]
TEXTS = st.one_of(
    st.sampled_from([*INJECTIONS, user_id(0), user_id(1), "like", "view", "month", "all"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
)
INTEGERS = st.one_of(
    st.sampled_from([0, 1, 20, 1000, 1001, 10_000, 10_001, -1, -(2**31), 2**31 - 1, 2**31]),
    st.integers(-(2**33), 2**33),
)
FLOATS = st.one_of(
    st.sampled_from(["NaN", "Infinity", "-Infinity", "0", "-0", "1", "0.5", "1e38", "1e39", "-1"]),
    st.floats(-2, 2).map(str),
)
UUIDS = st.one_of(
    st.integers(0, 45).map(video_id),
    st.uuids().map(str),
    st.sampled_from(["", "no uuid", *INJECTIONS]),
)
KEYS = [
    *("source", "maker", "label", "series", "tags_any", "tags_all", "tags_none", "ids"),
    *("performers_any", "performers_all", "performers_none", "price_min", "price_max"),
    *("released_from", "released_to", "max_per_maker", "max_per_series"),
]
SCALARS = st.one_of(
    st.none(), st.booleans(), INTEGERS, TEXTS, UUIDS, st.sampled_from(["2026-02-30", 1e308, -1])
)
FILTERS = st.one_of(
    st.dictionaries(
        st.one_of(st.sampled_from(KEYS), TEXTS),
        st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(TEXTS, SCALARS)),
        max_size=3,
    ),
    st.lists(SCALARS, max_size=2),
    SCALARS,
).map(lambda value: json.dumps(value, allow_nan=False))
VECTORS = st.one_of(
    st.sampled_from(
        [
            [0.0] * 128,
            [1.0] * 128,
            [1e-8] * 128,
            [65504.0] * 128,
            [1e6] * 128,
            [1.0] * 3,
            [],
            [math.nan] * 128,
            [math.inf] * 128,
            [-1.0] + [0.0] * 127,
        ]
    ).map(str),
    TEXTS,
)


def array(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(st.one_of(st.none(), values), max_size=5)
    return st.one_of(several, values.map(lambda value: [value] * 10_001))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "integer": INTEGERS,
    "bigint": INTEGERS,
    "real": FLOATS,
    "double precision": FLOATS,
    "boolean": st.booleans(),
    "uuid": UUIDS,
    "jsonb": FILTERS,
    "extensions.halfvec": VECTORS,
    "uuid[]": array(st.integers(0, 45).map(video_id)),
    "text[]": array(TEXTS),
}


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[list[dict[str, Any]], dict[tuple[str, bool], Any]]]:
    """The functions, and sessions of each role, without and with types of its own in pg_temp."""
    with running_postgres() as server, ExitStack() as stack:
        password = PASSWORD.replace("'", "''")
        server.as_superuser(f"create role app login password '{password}'", *grants_world.ROLES)
        dsn = grants_world.prepare(server, "fuzz", "in schema public")
        with psycopg.connect(dsn, autocommit=True) as connection:
            sync(connection, TIERS)
            found = doors(connection)
        sessions = {}
        for role in TIERS:
            for has_temporary in (False, True):
                session = stack.enter_context(grants_world.request(server, dsn, role, user_id(1)))
                session.execute("set statement_timeout = '3s'")
                for statement in HIJACK if has_temporary else ():
                    session.execute(statement)
                sessions[role, has_temporary] = session
        yield found, sessions


def call(
    session: psycopg.Connection[Any], door: dict[str, Any], values: list[Any]
) -> tuple[psycopg.Error | None, list[str], list[tuple[Any, ...]]]:
    """Call a function in a savepoint that is rolled back; return its error, or columns and rows."""
    marks = ", ".join(
        f"{name} => %s::{kind}" for name, kind in zip(door["arguments"], door["types"], strict=True)
    )
    try:
        with session.transaction(force_rollback=True):
            cursor = session.execute(f"select * from {door['name']}({marks})", values)  # type: ignore[arg-type]
            return None, [column.name for column in cursor.description or ()], cursor.fetchall()
    except psycopg.Error as error:
        return error, [], []


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_no_argument_breaks_a_function_or_crosses_its_tier(
    world: tuple[list[dict[str, Any]], dict[tuple[str, bool], Any]], data: st.DataObject
) -> None:
    found, sessions = world
    role = data.draw(st.sampled_from(sorted(TIERS)), label="role")
    session = sessions[role, data.draw(st.booleans(), label="has types in pg_temp")]
    door = data.draw(st.sampled_from(found), label="function")
    values = [
        data.draw(st.one_of(st.none(), VALUES[kind]), label=name)
        for name, kind in zip(door["arguments"], door["types"], strict=True)
    ]
    named = dict(zip(door["arguments"], values, strict=True))
    may_call = HEIGHTS[door["tier"]] <= HEIGHTS[TIERS[role]]
    names_another = role != "service_role" and named.get("p_user_id") == user_id(0)
    error, columns, rows = call(session, door, values)
    if error is not None:
        assert (error.sqlstate or "").startswith(EXPECTED), (error.sqlstate, error)
        assert not (may_call and "permission denied for" in str(error)), error
    else:
        assert may_call
        assert not names_another
    limit = named.get("p_limit")
    assert len(rows) <= (MOST_ROWS if limit is None else max(limit, 0))
    for row in rows:
        assert not any(isinstance(value, float) and math.isnan(value) for value in row)
        assert dict(zip(columns, row, strict=True)).get("score", 0) is not None
    state = session.execute(
        "select current_user::text, nullif(current_setting('evil.ran_as', true), '')"
    ).fetchone()
    # What the caller casts by its own types runs as the caller.
    assert state in ((role, None), (role, role))


def test_a_zero_vector_gives_what_is_popular(
    world: tuple[list[dict[str, Any]], dict[tuple[str, bool], Any]],
) -> None:
    session = world[1]["service_role", False]
    with session.transaction(force_rollback=True):
        rows = session.execute(
            "select video_id::text from public.recommend_for_vector(%s::extensions.halfvec, 3)",
            (str([0.0] * 128),),
        ).fetchall()
    assert [row[0] for row in rows] == [video_id(number) for number in range(3)]
