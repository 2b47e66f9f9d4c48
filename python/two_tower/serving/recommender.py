"""Recommendations for an application: the database's functions, by pools of connections.

Imports neither torch nor dbt, and reads no folder of the project where it is given a URL.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolClosed, PoolTimeout

from two_tower.core.errors import InputError, NotEnoughDataError, UnavailableError
from two_tower.database import database_errors, sessions
from two_tower.serving import calls
from two_tower.serving.calls import Call

if TYPE_CHECKING:
    from two_tower.core.settings import Settings
    from two_tower.serving.duckdb_lists import DuckDBLists

logger = logging.getLogger("two_tower")

T = TypeVar("T")
P = ParamSpec("P")

# Nothing has been built yet, or this role may not call it.
MISSING = (
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)
TARGETS = (
    "give settings of the project, or database_url='postgresql://user:password@host:5432/database'"
)


def _method(build: Callable[P, Call[T]]) -> Callable[Concatenate[Recommender, P], T]:
    @functools.wraps(build)
    def method(self: Recommender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(build(*args, **kwargs))

    return _documented(method, build)


def _async_method(
    build: Callable[P, Call[T]],
) -> Callable[Concatenate[AsyncRecommender, P], Awaitable[T]]:
    @functools.wraps(build)
    async def method(self: AsyncRecommender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(build(*args, **kwargs))

    return _documented(method, build)


def _documented(method: T, build: Callable[..., Any]) -> T:
    """Let `help()` show a method of what the call answers."""
    signature = inspect.signature(build)
    myself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[myself, *signature.parameters.values()], return_annotation=answer
    )
    return method


class Recommender:
    """Recommends from a database, for all threads of a process; each call takes milliseconds.

    ::

        with Recommender(database_url="postgresql://app:…@db.example:5432/app") as recommender:
            for video in recommender.recommend("r00364274", limit=5, filter={"maker": "m1"}):
                print(video.rank, video.title, video.source)

    Make one a process, after it has forked, and keep it. Connections are opened as they are needed.
    A call whose connection is lost is made once more, but for a ``record_…`` that may have been
    done. It works through a pooler that hands out transactions too. What the role
    has to be granted: docs/app.md.

    Where a function is missing or may not be called, popular videos answer, marked
    ``source="popular"``, and the log warns of it once; a call for which they are no answer raises.

    Args:
        settings: of the project, for its database: Postgres, the embedded one, which is started if
            need be, or DuckDB, which has ``recommend``, ``recommend_for_likes`` and ``similar``
            without options.
        database_url: Postgres, a URL or ``key=value``, in place of settings.
        max_connections: that may be open at once; a call waits 10 seconds for one to be free.

    Raises:
        InputError: neither of the two was given, or Postgres refuses the connection.
        UnavailableError: the database does not answer.
    """

    recommend = _method(calls.recommend)
    recommend_for_likes = _method(calls.recommend_for_likes)
    similar = _method(calls.similar)
    because_you_watched = _method(calls.because_you_watched)
    rank = _method(calls.rank)
    similar_users = _method(calls.similar_users)
    popular = _method(calls.popular)
    new = _method(calls.new)
    trending = _method(calls.trending)
    explain = _method(calls.explain)
    recommend_batch = _method(calls.recommend_batch)
    record_event = _method(calls.record_event)
    record_impressions = _method(calls.record_impressions)

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        database_url: str | None = None,
        max_connections: int = 8,
    ) -> None:
        self._duckdb: DuckDBLists | None = None
        if settings is not None and settings.target == "duckdb":
            from two_tower.serving.duckdb_lists import DuckDBLists

            self._duckdb = DuckDBLists(settings)
            return
        self._dsn = _dsn(settings, database_url)
        self._missing = _Missing()
        try:
            sessions.connect(self._dsn, for_app=True).close()
        except psycopg.OperationalError as error:
            raise sessions.unreachable(self._dsn, error) from error
        self._pool = ConnectionPool[psycopg.Connection[DictRow]](
            self._dsn,
            kwargs={**sessions.APP, "row_factory": dict_row},
            min_size=1,
            max_size=max_connections,
            timeout=sessions.CONNECT_SECONDS,
            # What comes later begins anew: an attempt that waits longer each time would sleep on
            # while the database is back.
            reconnect_timeout=sessions.CONNECT_SECONDS,
            open=True,
        )

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._duckdb is not None:
            self._duckdb.close()
        else:
            self._pool.close()

    def _run(self, call: Call[T]) -> T:
        if self._duckdb is not None:
            return self._duckdb.run(call)
        try:
            rows = self._rows(call)
        except MISSING as error:
            rows = self._rows(self._missing.instead(call, error))
        return call.read(rows)

    def _rows(self, call: Call[Any]) -> list[DictRow]:
        with _explained(call):
            try:
                return self._try(call)
            except psycopg.OperationalError as error:
                if not is_lost(error):
                    raise
            self._pool.check()  # the others are most likely lost too
            return self._try(call)

    def _try(self, call: Call[Any]) -> list[DictRow]:
        with self._pool.connection() as connection:
            if not call.writes:
                return connection.execute(call.sql.encode(), call.arguments).fetchall()
            # A connection that is lost already is found before anything is written.
            connection.execute(b"")
            with _explained(call):
                return connection.execute(call.sql.encode(), call.arguments).fetchall()


class AsyncRecommender:
    """:class:`Recommender` for asyncio: the same calls, awaited, on Postgres.

    ::

        async with AsyncRecommender(database_url=url) as recommender:
            videos = await recommender.recommend("r00364274", limit=5)

    Arguments and errors are those of :class:`Recommender`; the connection is tried on entering the
    block.
    """

    recommend = _async_method(calls.recommend)
    recommend_for_likes = _async_method(calls.recommend_for_likes)
    similar = _async_method(calls.similar)
    because_you_watched = _async_method(calls.because_you_watched)
    rank = _async_method(calls.rank)
    similar_users = _async_method(calls.similar_users)
    popular = _async_method(calls.popular)
    new = _async_method(calls.new)
    trending = _async_method(calls.trending)
    explain = _async_method(calls.explain)
    recommend_batch = _async_method(calls.recommend_batch)
    record_event = _async_method(calls.record_event)
    record_impressions = _async_method(calls.record_impressions)

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        database_url: str | None = None,
        max_connections: int = 8,
    ) -> None:
        if settings is not None and settings.target == "duckdb":
            raise InputError("AsyncRecommender needs Postgres", "Recommender reads DuckDB too")
        self._dsn = _dsn(settings, database_url)
        self._missing = _Missing()
        self._pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]](
            self._dsn,
            kwargs={**sessions.APP, "row_factory": dict_row},
            min_size=1,
            max_size=max_connections,
            timeout=sessions.CONNECT_SECONDS,
            reconnect_timeout=sessions.CONNECT_SECONDS,
            open=False,
        )

    async def __aenter__(self) -> AsyncRecommender:
        try:
            await (await psycopg.AsyncConnection.connect(self._dsn, **sessions.APP)).close()
        except psycopg.OperationalError as error:
            raise sessions.unreachable(self._dsn, error) from error
        await self._pool.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def _run(self, call: Call[T]) -> T:
        try:
            rows = await self._rows(call)
        except MISSING as error:
            rows = await self._rows(self._missing.instead(call, error))
        return call.read(rows)

    async def _rows(self, call: Call[Any]) -> list[DictRow]:
        with _explained(call):
            try:
                return await self._try(call)
            except psycopg.OperationalError as error:
                if not is_lost(error):
                    raise
            await self._pool.check()
            return await self._try(call)

    async def _try(self, call: Call[Any]) -> list[DictRow]:
        async with self._pool.connection() as connection:
            if not call.writes:
                cursor = await connection.execute(call.sql.encode(), call.arguments)
                return await cursor.fetchall()
            await connection.execute(b"")
            with _explained(call):
                cursor = await connection.execute(call.sql.encode(), call.arguments)
                return await cursor.fetchall()


class _Missing:
    """What could not be called so far: the log is told once of each."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def instead(self, call: Call[Any], error: psycopg.Error) -> Call[Any]:
        """Return the call of popular videos that answers in another's place."""
        assert call.instead is not None
        with self._lock:
            is_new = call.function not in self._told
            self._told.add(call.function)
        if is_new:
            logger.warning(
                "%s cannot be called (%s): popular videos answer in its place, of source 'popular'",
                call.function,
                database_errors.first_line(error),
            )
        return call.instead


@contextmanager
def _explained(call: Call[Any]) -> Iterator[None]:
    """Raise an error of the database as one that a person can act on.

    Raises:
        psycopg.Error: one of MISSING, where popular videos are an answer too.
    """
    try:
        yield
    except psycopg.Error as error:
        if isinstance(error, MISSING) and call.instead is not None and not _is_refusal(error):
            raise
        raise _error(call, error) from error


def _is_refusal(error: psycopg.Error) -> bool:
    """Return whether a function of ours has refused its arguments, by `raise`."""
    return error.diag.source_function == "exec_stmt_raise"


def is_lost(error: psycopg.OperationalError) -> bool:
    """Return whether a connection broke, rather than that none was free."""
    if isinstance(error, PoolTimeout | PoolClosed):
        return False
    code = error.sqlstate or "08"
    return code in database_errors.GONE.codes or code[:2] in database_errors.GONE.codes


def _error(call: Call[Any], error: psycopg.Error) -> Exception:
    text = database_errors.first_line(error)
    if isinstance(error, PoolClosed):
        return InputError(
            "this Recommender is not open", "call it inside its with block, or before close()"
        )
    if isinstance(error, PoolTimeout):
        return UnavailableError(
            f"{call.function}: no connection within {sessions.CONNECT_SECONDS} seconds",
            "is the database up? are max_connections too few for so many threads?",
        )
    if _is_refusal(error):
        return InputError(text, error.diag.message_hint or "docs/app.md has the arguments")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return InputError(
            f"{call.function}: {text}",
            "name the role in the var serving_roles, then type two-tower grants: docs/app.md",
        )
    if isinstance(error, MISSING):
        return NotEnoughDataError(
            f"{call.function}: {text}", "load a catalogue and reviews, then run dbt build"
        )
    if call.writes and isinstance(error, psycopg.OperationalError) and is_lost(error):
        return UnavailableError(
            f"{call.function}: the connection broke, and whether it was stored is not known: {text}"
        )
    return database_errors.explained(error, call.function) or error


def _dsn(settings: Settings | None, database_url: str | None) -> str:
    if (settings is None) == (database_url is None):
        raise InputError("neither settings nor database_url, or both of them, were given", TARGETS)
    if settings is None:
        return sessions.readable(database_url or "")
    from two_tower.database.dsn import target_dsn

    return target_dsn(settings)
