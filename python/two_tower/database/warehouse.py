"""One interface to Postgres and DuckDB.

SQL is in the common subset of both engines, with ``?`` for each parameter.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import duckdb
import psycopg
import pyarrow as pa

from two_tower.core.errors import InputError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.database import database_errors, sessions
from two_tower.database.dsn import target_dsn

BATCH_ROWS = 65_536  # 32 of DuckDB's vectors of 2,048 rows


class Warehouse(ABC):
    """An open connection, in autocommit mode outside of :meth:`transaction`.

    Attributes:
        dialect: the engine.
        schema: where dbt built the tables that training and evaluation read.
    """

    dialect: Literal["postgres", "duckdb"]
    schema: str = "two_tower"

    @abstractmethod
    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Run one statement; ``?`` marks each parameter."""

    @abstractmethod
    def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run one query and return all its rows, a dict each; ``?`` marks each parameter."""

    @abstractmethod
    def read_arrow(self, sql: str) -> pa.RecordBatchReader:
        """Stream a query's rows as Arrow record batches, in constant memory.

        Cast ``uuid`` columns to ``text`` in the query: the drivers disagree on their Arrow type.
        """

    @abstractmethod
    def transaction(self) -> Any:
        """Return a context manager: commits at its end, rolls back on an exception."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def relation_exists(self, schema: str, name: str) -> bool:
        """Return whether a table or view of that name is there."""
        rows = self.fetch(
            "select 1 as found from information_schema.tables"
            " where table_schema = ? and table_name = ?",
            (schema, name),
        )
        return bool(rows)


class PostgresWarehouse(Warehouse):
    """Postgres through psycopg; Arrow through ADBC, which reads binary COPY."""

    dialect = "postgres"

    def __init__(self, dsn: str, *, for_app: bool = False) -> None:
        self.dsn = dsn
        try:
            self.connection = sessions.connect(dsn, for_app=for_app)
        except psycopg.OperationalError as error:
            raise sessions.unreachable(dsn, error) from error

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """See :meth:`Warehouse.execute`."""
        self.connection.execute(_percent(sql, params), params or None)

    def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """See :meth:`Warehouse.fetch`."""
        with self.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            cursor.execute(_percent(sql, params), params or None)
            return cursor.fetchall()

    def read_arrow(self, sql: str) -> pa.RecordBatchReader:
        """See :meth:`Warehouse.read_arrow`."""
        import adbc_driver_postgresql.dbapi as adbc

        with ExitStack() as opening:
            try:
                # Committing by itself: what a session sets is for the next transaction.
                connection = adbc.connect(sessions.conninfo(self.dsn), autocommit=True)
                cursor = opening.enter_context(connection).cursor()
                opening.enter_context(cursor).execute(sessions.STATEMENT)
                cursor.fetchall()
                cursor.execute(sql)
                reader = cursor.fetch_record_batch()
            except adbc.Error as error:
                raise _of_psycopg(error) from error
            opened = opening.pop_all()

        def batches() -> Iterator[pa.RecordBatch]:
            with opened:
                try:
                    yield from reader
                except (adbc.Error, pa.ArrowException, OSError) as error:
                    raise _of_psycopg(error) from error

        return pa.RecordBatchReader.from_batches(reader.schema, batches())

    def transaction(self) -> Any:
        """See :meth:`Warehouse.transaction`."""
        return self.connection.transaction()

    def close(self) -> None:
        """See :meth:`Warehouse.close`."""
        self.connection.close()

    def relation_exists(self, schema: str, name: str) -> bool:
        """See :meth:`Warehouse.relation_exists`."""
        # information_schema hides what the role may not read, as if nothing had been built.
        rows = self.fetch(
            "select 1 as found from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname = ? and c.relname = ? and c.relkind in ('r', 'p', 'v', 'm', 'f')",
            (schema, name),
        )
        return bool(rows)


def add_nfkc(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the function ``nfkc``, normal form KC of a text, which DuckDB lacks."""

    def nfkc(text: str) -> str:
        return unicodedata.normalize("NFKC", text)

    connection.create_function("nfkc", nfkc, ["VARCHAR"], "VARCHAR")


class DuckDBWarehouse(Warehouse):
    """A DuckDB file, or an open connection of the caller's, which is not closed here."""

    dialect = "duckdb"

    def __init__(self, source: str | duckdb.DuckDBPyConnection, memory_limit: str = "4GB") -> None:
        self._owned = isinstance(source, str)
        if isinstance(source, str):
            _refuse_ambiguous_name(source)
            try:
                self.connection = duckdb.connect(source, config={"memory_limit": memory_limit})
            except duckdb.IOException as error:
                raise UnavailableError(
                    f"cannot open {source}: {error}",
                    "another process may have it open: DuckDB allows one writer at a time",
                ) from error
        else:
            self.connection = source

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """See :meth:`Warehouse.execute`."""
        self.connection.execute(sql, list(params) or None)

    def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """See :meth:`Warehouse.fetch`."""
        cursor = self.connection.execute(sql, list(params) or None)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def read_arrow(self, sql: str) -> pa.RecordBatchReader:
        """See :meth:`Warehouse.read_arrow`."""
        return self.connection.cursor().sql(sql).to_arrow_reader(BATCH_ROWS)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See :meth:`Warehouse.transaction`."""
        self.connection.execute("begin transaction")
        try:
            yield
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    def close(self) -> None:
        """See :meth:`Warehouse.close`."""
        if self._owned:
            self.connection.close()


@contextmanager
def open_warehouse(settings: Settings, *, for_app: bool = False) -> Iterator[Warehouse]:
    """Open the target's database for the length of the block.

    The embedded server is started if it is not running. Keep the block short: a DuckDB file must
    not be open while dbt runs.

    Args:
        settings: the project.
        for_app: read only, as an app does: see :data:`sessions.APP`.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    warehouse: Warehouse
    if settings.target == "duckdb":
        path = settings.path(settings.duckdb_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        warehouse = DuckDBWarehouse(str(path), settings.memory_limit)
    else:
        warehouse = PostgresWarehouse(target_dsn(settings), for_app=for_app)
    warehouse.schema = settings.schema_name
    try:
        yield warehouse
    finally:
        warehouse.close()


def _of_psycopg(error: Exception) -> psycopg.Error:
    """Return an ADBC error as psycopg's of the same SQLSTATE; within a stream there is none."""
    code, text = getattr(error, "sqlstate", None), str(error)
    kind: type[psycopg.Error] = psycopg.DatabaseError
    if code:
        with suppress(KeyError):
            kind = psycopg.errors.lookup(code)
    elif database_errors.GONE.shown.search(text):
        kind = psycopg.OperationalError
    return kind(text)


def _refuse_ambiguous_name(path: str) -> None:
    """Refuse a DuckDB file named like a schema: DuckDB names the database after its file."""
    if Path(path).stem in ("raw", "two_tower", "public"):
        raise InputError(
            f"{path}: a DuckDB file of this name makes every `{Path(path).stem}.table` ambiguous",
            "rename it, for instance to warehouse.duckdb, in TWO_TOWER_DUCKDB_PATH",
        )


def _percent(sql: str, params: Sequence[Any]) -> str:
    """Turn ``?`` placeholders into psycopg's; without parameters the text is sent as it is."""
    return sql.replace("%", "%%").replace("?", "%s") if params else sql
