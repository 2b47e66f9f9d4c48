"""What a session on Postgres has, whatever the environment, the role or the database says.

A role may carry a time zone, a timeout, a search path; PGCLIENTENCODING may be anything. Each would
change what is stored, read or built, and few would say so: in a LATIN1 session UTF-8 bytes are
stored as other characters. So every connection of ours begins here; those of dbt with the same
statement, in profiles.yml.
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

CONNECT_SECONDS = 10
POOL_SECONDS = 5
# What a run has open at once beside those of dbt's threads: two locks, and two of its own.
SESSIONS = 4
ENCODING = "UTF8"
# What psycopg is told of an app's connection. The session is left as it is but for the encoding: it
# may come through a pooler that hands out transactions, where a setting outlives its connection and
# meets somebody else's. Nothing is prepared: such a pooler would look for it in another session.
APP: dict[str, Any] = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": CONNECT_SECONDS,
    "client_encoding": ENCODING,
}

# Postgres's own defaults but for the time zone, which is the one that every moment is stored in.
# Not `default_transaction_read_only`: who sets it means it, and the doctor says so.
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
    # A build, a search for neighbours or a copy takes as long as it takes.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
# One statement for all drivers; a server that is too old for a setting is not asked for it.
STATEMENT = (
    "select set_config(name, value, false) from pg_settings join (values "
    + ", ".join(f"('{name}', '{value}')" for name, value in SETTINGS.items())
    + ") as ours (name, value) using (name)"
)


# Data sources whose pooler was found to hand out sessions: looked at once a process.
_session_poolers: set[str] = set()
ROUNDS = 3


class TransactionPoolerError(InputError):
    """A session is wanted, and what is in between hands out transactions."""

    def __init__(self) -> None:
        super().__init__(
            "the pooler in front of this Postgres hands out transactions, not sessions: a lock"
            " would hold nothing there, and two runs could write at once",
            "name Postgres itself in DATABASE_URL, or the pooler's session mode (Supabase: port"
            " 5432 of the pooler, not 6543; pgbouncer: pool_mode = session); an app may read so",
        )


def connect(dsn: str, *, for_app: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a connection that commits each statement by itself.

    Args:
        dsn: a URL or ``key=value``.
        for_app: leave the session as it is, but for the encoding: see :data:`APP`.

    Raises:
        psycopg.OperationalError: there is no connection.
        TransactionPoolerError: there is no session; nothing was set in it.
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
    """Set what a session of ours has, if it is one."""
    # A pooler tells a client another process than the one that does the work.
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
    """Return whether two connections that are open at once meet the same process, or one meets two.

    Asked some times: others may use the same pool.
    """

    with connect(dsn, for_app=True) as held:
        mine = _process(held)
        for _ in range(ROUNDS):
            with connect(dsn, for_app=True) as other:
                # Twice: a pool that takes turns would give every second question the same answer.
                found = [_process(c) for c in (held, held, other, held)]
            if found[2] == mine or [found[0], found[1], found[3]] != 3 * [mine]:
                return True
    return False


def _process(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    """Return the process that serves a connection now.

    Raises:
        UnavailableError: the pooler has none to give. It would let us wait for minutes.
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
    """Return the DSN; refuse one that libpq would misread and then quote, password and all."""
    hint = "write postgresql://user:password@host:5432/database, an @ / : or % in it as %40 %2F …"
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise InputError("DATABASE_URL is no Postgres URL", hint) from None
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
