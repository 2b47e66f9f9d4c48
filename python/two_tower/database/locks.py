"""Mutual exclusion: one run at a time on a database, from whichever machine it is started.

On Postgres it is an advisory lock on a connection of its own, which the server releases when the
holder dies in any way. On DuckDB it is a lock on a file beside the database.
"""

from __future__ import annotations

import fcntl
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import filelock
import psycopg

from two_tower.core.errors import BusyError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.database import warehouse
from two_tower.database.dsn import target_dsn

Name = Literal["run", "serving"]
# A run holds RUN from end to end. A step that changes the registry's latest or the served tables
# also holds SERVING while it does. So a rollback need not wait for a run to end.
RUN: Name = "run"
SERVING: Name = "serving"

# Postgres's advisory locks have two keys: the project's ("twot" in ASCII), and the lock's.
CLASS = 0x74776F74
KEYS: dict[Name, int] = {RUN: 1, SERVING: 2}
DOING: dict[Name, str] = {RUN: "running", SERVING: "releasing or rolling back"}

_mine: dict[tuple[str, Name], Lock] = {}


@contextmanager
def held(settings: Settings, *names: Name) -> Iterator[None]:
    """Hold locks for the length of the block; a lock this process already holds is not released.

    A lock that was lost with its connection, as in a restart of Postgres, is taken again.

    Raises:
        BusyError: another process holds one of them. It is not waited for.
        UnavailableError: the database cannot be reached.
    """
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(_held(settings, name))
        yield


@contextmanager
def _held(settings: Settings, name: Name) -> Iterator[None]:
    if settings.target == "duckdb":
        place = str(settings.path(settings.duckdb_path))
    else:
        place = target_dsn(settings)
    mine = _mine.get((place, name))
    if mine is not None:
        mine.renew()
        yield
        return
    lock: Lock = (FileLock if settings.target == "duckdb" else AdvisoryLock)(place, name)
    lock.take()
    _mine[place, name] = lock
    try:
        yield
    finally:
        del _mine[place, name]
        lock.give_back()


def is_any_held(settings: Settings, opened: warehouse.Warehouse) -> bool:
    """Return whether any process holds a lock: a run, a release or a rollback is active.

    Args:
        settings: the project.
        opened: its database.
    """
    if settings.target == "duckdb":
        paths = [Path(f"{settings.path(settings.duckdb_path)}.{name}.lock") for name in KEYS]
        return any(_is_locked(path) for path in paths if path.exists())
    return bool(
        opened.fetch(
            "select 1 as found from pg_locks as l"
            " join pg_database as d on d.oid = l.database and d.datname = current_database()"
            " where l.locktype = 'advisory' and l.granted and l.classid = ? limit 1",
            (CLASS,),
        )
    )


def _is_locked(path: Path) -> bool:
    """Return whether a lock file is locked. A shared lock tells, and needs no right to write."""
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Lock(ABC):
    """One lock of one database.

    Args:
        place: the DuckDB file, or the DSN.
        name: which of the locks.
    """

    def __init__(self, place: str, name: Name) -> None:
        self.place = place
        self.name = name

    @abstractmethod
    def take(self) -> None:
        """Take the lock, or raise at once."""

    @abstractmethod
    def renew(self) -> None:
        """Take the lock again if it was lost."""

    @abstractmethod
    def give_back(self) -> None:
        """Release the lock."""

    def busy(self, holder: str) -> BusyError:
        """Return the error that names the holder."""
        return BusyError(
            f"another two-tower is {DOING[self.name]} on this database: {holder}",
            "nothing was written; run this again when the other has ended",
        )


class AdvisoryLock(Lock):
    """An advisory lock of a session; it does not work through a transaction pooler."""

    connection: psycopg.Connection[tuple[object, ...]]

    def take(self) -> None:
        """See :meth:`Lock.take`."""
        who = f"two-tower {self.name}, process {os.getpid()} on {socket.gethostname()}"
        opened = warehouse.PostgresWarehouse(self.place)
        self.connection = opened.connection
        try:
            opened.execute("select set_config('application_name', ?, false)", (who[:63],))
            # The server notices within a minute (30 + 3 · 10 s) that the holder's machine is gone.
            for setting, value in (
                ("tcp_keepalives_idle", "30"),
                ("tcp_keepalives_interval", "10"),
                ("tcp_keepalives_count", "3"),
            ):
                opened.execute(
                    "select set_config(name, ?, false) from pg_settings where name = ?",
                    (value, setting),
                )
            taken = "select pg_try_advisory_lock(?, ?) as is_ours"
            if not opened.fetch(taken, (CLASS, KEYS[self.name]))[0]["is_ours"]:
                raise self.busy(self._holder(opened))
        except psycopg.OperationalError as error:
            self.connection.close()
            raise UnavailableError(
                f"the connection to Postgres was lost: {str(error).strip()}"
            ) from error
        except BaseException:
            self.connection.close()
            raise

    def renew(self) -> None:
        """See :meth:`Lock.renew`."""
        try:
            self.connection.execute("select 1")
        except psycopg.OperationalError:
            self.connection.close()
            self.take()

    def give_back(self) -> None:
        """See :meth:`Lock.give_back`."""
        self.connection.close()

    def _holder(self, opened: warehouse.PostgresWarehouse) -> str:
        rows = opened.fetch(
            "select a.application_name, a.pid, to_char(a.backend_start, 'YYYY-MM-DD HH24:MI TZ')"
            " as since from pg_locks as l join pg_stat_activity as a on a.pid = l.pid"
            " join pg_database as d on d.oid = l.database and d.datname = current_database()"
            " where l.locktype = 'advisory' and l.granted and l.classid = ? and l.objid = ?",
            (CLASS, KEYS[self.name]),
        )
        named = [f"{r['application_name']} (backend {r['pid']}) since {r['since']}" for r in rows]
        return ", ".join(named) or "it has ended just now"


class FileLock(Lock):
    """A lock on a file beside the DuckDB file, which is open only within steps."""

    def __init__(self, place: str, name: Name) -> None:
        super().__init__(place, name)
        self.path = Path(f"{place}.{name}.lock")
        # The fallback, a lock by the file's existence, would outlive a killed holder.
        self.file = filelock.FileLock(self.path, fallback_to_soft=False)

    def take(self) -> None:
        """See :meth:`Lock.take`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.file.acquire(blocking=False)
        except filelock.Timeout:
            raise self.busy(self.path.read_text(encoding="utf-8").strip()) from None
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        self.path.write_text(holder, encoding="utf-8")

    def renew(self) -> None:
        """See :meth:`Lock.renew`: the kernel takes no lock away."""

    def give_back(self) -> None:
        """See :meth:`Lock.give_back`."""
        self.file.release()
