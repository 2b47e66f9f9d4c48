"""One pool of connections, and calls that Postgres itself ends in time and answers in JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncClientCursor
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from two_tower.database import sessions
from two_tower.interfaces.http.access import Caller
from two_tower.interfaces.http.errors import away, bad_argument, maybe_stored, of_database
from two_tower.interfaces.http.functions import Argument, Function
from two_tower.interfaces.http.reach import AWAY_SECONDS, Reach
from two_tower.serving.recommender import is_lost

# With the call they are one message to the server, and so one transaction: what is set ends with
# it, through a pooler of transactions too. A parameter of `set` cannot be bound.
_SETTINGS = (
    "select set_config('statement_timeout', %(_timeout)s, true),"
    " set_config('transaction_read_only', %(_read_only)s, true),"
    " set_config('request.jwt.claims', %(_claims)s, true); "
)
# A call that begins before a release and reads after it would tell vectors of the new one by the
# number of the old one: its snapshot is older than the tables that it finds. With the tables held
# first, the snapshot is of the release that they are of.
_HELD = "lock table public.user_embeddings, public.video_embeddings in access share mode; "


class Database:
    """The database that answers.

    Args:
        dsn: Postgres.
        connections: that may be open at once; a call waits 10 seconds for one to be free, or one
            second where the database is away.
        seconds: after which Postgres ends a statement.
    """

    def __init__(self, dsn: str, connections: int, seconds: float) -> None:
        self.seconds = seconds
        self._reach = Reach()
        self.pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]](
            dsn,
            kwargs={**sessions.APP, "cursor_factory": AsyncClientCursor},
            min_size=1,
            max_size=connections,
            timeout=sessions.CONNECT_SECONDS,
            reconnect_timeout=AWAY_SECONDS,
            configure=self._reach.made,
            reconnect_failed=self._reach.failed,
            open=False,
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Database]:
        """Hold the pool open inside a block. It does not wait for the database."""
        pool_log = logging.getLogger("psycopg.pool")
        pool_log.addHandler(self._reach)
        await self.pool.open()
        try:
            yield self
        finally:
            await self.pool.close()
            pool_log.removeHandler(self._reach)

    async def call(self, function: Function, arguments: Mapping[str, Any], caller: Caller) -> bytes:
        """Return what a function answers, as JSON.

        Args:
            function: the function.
            arguments: by name; the others have the function's defaults.
            caller: who asks. A user's claims are the request's.

        Raises:
            RefusalError: the database refuses, does not answer, or takes too long.
        """
        statement, values = _statement(function, arguments, caller)
        held = "" if function.writes else _HELD
        cursor = await self._run(held + statement, values, caller, function.writes)
        answer = cursor.pgresult.get_value(0, 0) if cursor.pgresult else None
        return answer or b"null"

    async def rows(
        self, statement: str, values: Mapping[str, Any] | None = None, caller: Caller | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of a query that only reads, with ``%(name)s`` for each value.

        Raises:
            RefusalError: as :meth:`call`.
        """
        caller = caller or Caller("service")
        cursor = await self._run(statement, values or {}, caller, False)
        if cursor.pgresult is None:
            return []
        make = dict_row(cursor)
        return [make(row) for row in await cursor.fetchall()]

    async def _run(
        self,
        statement: str,
        values: Mapping[str, Any],
        caller: Caller,
        writes: bool,
    ) -> AsyncClientCursor[Any]:
        set_first = {
            "_timeout": f"{max(1, round(1000 * self.seconds))}",
            "_read_only": "off" if writes else "on",
            "_claims": json.dumps(caller.claims) if caller.claims else "",
        }
        query, bound = _SETTINGS + statement, {**values, **set_first}
        # Where the server does not end it, as when its machine is gone, this does.
        limit = self.seconds + sessions.CONNECT_SECONDS + 1
        try:
            async with asyncio.timeout(limit):
                try:
                    return await self._try(query, bound, writes)
                except psycopg.OperationalError as error:
                    if not is_lost(error):
                        raise
                    self._reach.is_away = True
                    if writes:
                        raise
                await self.pool.check()  # the others are most likely lost too
                return await self._try(query, bound, writes)
        except UnicodeEncodeError as error:
            raise bad_argument("a text has a character that a database cannot hold") from error
        except PoolTimeout as error:
            told = away() if self._reach.is_away else of_database(error, self.seconds)
            raise told or error from error
        except (psycopg.Error, TimeoutError) as error:
            told = of_database(error, self.seconds)
            if told is None:
                raise
            raise told from error

    async def _try(
        self, query: str, values: Mapping[str, Any], writes: bool
    ) -> AsyncClientCursor[Any]:
        patience = AWAY_SECONDS if self._reach.is_away else None
        async with self.pool.connection(patience) as connection:
            if writes:
                # A connection that is lost already is found before anything is written.
                await connection.execute(b"")
            cursor = AsyncClientCursor(connection)
            try:
                await cursor.execute(query.encode(), values)
            except psycopg.OperationalError as error:
                if writes and is_lost(error):
                    raise maybe_stored(error) from error
                raise
            while cursor.nextset():
                pass
            self._reach.answers()
            return cursor


def _statement(
    function: Function, arguments: Mapping[str, Any], caller: Caller
) -> tuple[str, dict[str, Any]]:
    """Return a call, and the values of its arguments."""
    given, values = [], {}
    for argument in function.arguments:
        name = argument.name
        if name not in arguments:
            if argument.default is None:  # HTTP has one: the signed-in user
                given.append(f"p_{name} => null")
        elif name == "user_id" and caller.tier != "service":
            # The pool's role may name anybody: the id is the database's own of the one who asks.
            mine = "null" if function.tier == "user" else "two_tower.reviewer_of_request()"
            given.append(f"p_{name} => {mine}")
        else:
            values[name] = _bound(argument, arguments[name])
            cast = "" if argument.is_vector else f"::{argument.type}"
            given.append(f"p_{name} => %({name})s{cast}")
    called = f"public.{function.name}({', '.join(given)})"
    if not function.columns:
        return f"select {called}::text", values
    return f"select coalesce(json_agg(answer), '[]')::text from {called} as answer", values


def _bound(argument: Argument, value: Any) -> Any:
    """Return an argument as psycopg takes it."""
    if argument.type == "jsonb":
        return Jsonb(value)
    return str(value) if argument.is_vector else value
