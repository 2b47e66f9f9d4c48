"""The settings of every session on Postgres, whatever environment, role or database set.

A role may set a time zone, a timeout or a search path; PGCLIENTENCODING may be anything. Each would
change what is stored, read or built, mostly without an error: a LATIN1 session stores UTF-8 bytes
as other characters. So every connection is opened here; dbt's run the same statement, from
profiles.yml.
"""

from __future__ import annotations

import os
import select
import time
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from two_tower.core.errors import InputError, TwoTowerError, UnavailableError
from two_tower.database import database_errors

CONNECT_SECONDS = 10  # libpq's default is to wait for ever
POOL_SECONDS = 5  # pgbouncer lets a client wait for two minutes (query_wait_timeout)
# Connections that a run holds at once besides those of dbt's threads: two locks, and two others.
SESSIONS = 4
ENCODING = "UTF8"
# An app's connection. Only the encoding is set: an app may come through a transaction pooler, where
# other clients would inherit the settings. No statements are prepared on the server: such a pooler
# would look for them in another session.
APP: dict[str, Any] = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": CONNECT_SECONDS,
    "client_encoding": ENCODING,
}

# Postgres's defaults, except for the time zone: timestamps are stored in UTC. Not among them is
# `default_transaction_read_only`: it was set on purpose, and the doctor reports it.
SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "search_path": '"$user", public',
    "row_security": "on",
    "default_transaction_isolation": "read committed",
    # Builds, searches and copies may take long.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
# One statement for all drivers; settings that the server does not know are skipped.
STATEMENT = (
    "select set_config(name, value, false) from pg_settings join (values "
    + ", ".join(f"('{name}', '{value}')" for name, value in SETTINGS.items())
    + ") as ours (name, value) using (name)"
)


# DSNs whose pooler is known to hand out sessions: checked once per process.
_session_poolers: set[str] = set()
# A busy pool may give a transaction pooler's client the same process by chance, rarely three times.
ROUNDS = 3


class TransactionPoolerError(InputError):
    """The pooler hands out transactions, and a session is needed."""

    def __init__(self) -> None:
        super().__init__(
            "the pooler in front of this Postgres hands out transactions, not sessions: a lock"
            " would hold nothing there, and two runs could write at once",
            "name Postgres itself in DATABASE_URL, or the pooler's session mode (Supabase: port"
            " 5432 of the pooler, not 6543; pgbouncer: pool_mode = session); an app may read so",
        )


def connect(dsn: str, *, for_app: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a connection in autocommit mode.

    Args:
        dsn: a URL or ``key=value``.
        for_app: set only the encoding: see :data:`APP`.

    Raises:
        psycopg.OperationalError: there is no connection.
        TransactionPoolerError: a transaction pooler answers; nothing was set.
    """
    connection = psycopg.connect(dsn, **APP)
    if not for_app:
        try:
            _prepare(connection, dsn)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: psycopg.Connection[tuple[Any, ...]], dsn: str) -> None:
    """Apply the settings, after a check that the connection is a session."""
    # Behind a pooler, the process id that libpq was told is not the server's.
    told = connection.info.backend_pid
    is_direct = connection.execute(f"{STATEMENT} where pg_backend_pid() = {told}").rowcount > 0
    if is_direct:
        return
    if dsn not in _session_poolers:
        if _hands_out_transactions(dsn):
            raise TransactionPoolerError
        _session_poolers.add(dsn)
    connection.execute(STATEMENT)


def _hands_out_transactions(dsn: str) -> bool:
    """Return whether two open connections share a server process, or one uses two.

    Tried several times, because other clients use the same pool.
    """

    with connect(dsn, for_app=True) as held:
        mine = _process(held)
        for _ in range(ROUNDS):
            with connect(dsn, for_app=True) as other:
                # Twice: a pool that takes turns would answer every second query alike.
                found = [_process(c) for c in (held, held, other, held)]
            if found[2] == mine or [found[0], found[1], found[3]] != 3 * [mine]:
                return True
    return False


def _process(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    """Return the id of the server process that serves a connection now.

    Raises:
        UnavailableError: the pooler has no free session.
    """
    libpq = connection.pgconn
    libpq.send_query(b"select pg_backend_pid()")
    deadline = time.monotonic() + POOL_SECONDS
    while libpq.is_busy():
        if not select.select([libpq.socket], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise UnavailableError(
                "the pooler in front of this Postgres has no session left to give",
                "close others, or raise its pool size (pgbouncer: default_pool_size): a run takes"
                f" {SESSIONS}, and one for each of TWO_TOWER_THREADS",
            )
        libpq.consume_input()
    result = libpq.get_result()
    value = result.get_value(0, 0) if result is not None else None
    if value is None:
        raise psycopg.OperationalError(libpq.error_message.decode(errors="replace"))
    while libpq.get_result() is not None:
        pass
    return int(value)


def unreachable(dsn: str, error: psycopg.OperationalError) -> TwoTowerError:
    """Return why there is no connection, as an error of ours without user and password."""
    text = str(error).strip()
    if database_errors.REFUSED.shown.search(text):
        return InputError(
            f"Postgres at {redact(dsn)} refuses the connection: {text}",
            database_errors.REFUSED.hint,
        )
    return UnavailableError(
        f"cannot reach Postgres at {redact(dsn)}: {text}",
        "is it running, and is DATABASE_URL right? the embedded one: two-tower db start",
    )


def redact(dsn: str) -> str:
    """Return host and database of a DSN (a URL or ``key=value``), without its user and password."""
    parts = conninfo_to_dict(dsn)
    host = parts.get("host") or os.environ.get("PGHOST", "localhost")
    return f"{host}/{parts.get('dbname') or os.environ.get('PGDATABASE', '')}".rstrip("/")


def readable(dsn: str) -> str:
    """Return the DSN; refuse one that libpq would misread, since its error quotes the password."""
    hint = "write postgresql://user:password@host:5432/database, an @ / : or % in it as %40 %2F …"
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise InputError("DATABASE_URL is not a Postgres URL", hint) from None
    place = f"{parts.get('host')}/{parts.get('dbname')}"
    if "@" in place or set(str(parts.get("port", ""))) - set("0123456789,"):
        raise InputError("DATABASE_URL cannot be split into user, password, host and port", hint)
    return dsn


def conninfo(dsn: str) -> str:
    """Return a DSN whose session is in UTF-8; :data:`STATEMENT` has to be run in it."""
    return make_conninfo(dsn, client_encoding=ENCODING)


def environment() -> dict[str, str]:
    """Return what libpq in another process has to find, so that its sessions are in UTF-8."""
    return {"PGCLIENTENCODING": ENCODING}
