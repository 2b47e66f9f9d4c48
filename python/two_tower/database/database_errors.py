"""Errors of Postgres as errors that a person can act on, found by SQLSTATE or by text.

psycopg and ADBC give the SQLSTATE; dbt's output and a failed connection give only the text.
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from two_tower.core.errors import FullError, InputError, TwoTowerError, UnavailableError

ASK_THE_DOCTOR = "two-tower doctor names what is missing, with the statement to type"


@dataclass(frozen=True)
class Cause:
    """One kind of error.

    Attributes:
        codes: its SQLSTATEs; two characters stand for a class.
        shown: matches its line in dbt's output, or the message of a failed connection.
        kind: InputError: its owner can fix it; UnavailableError: it passes.
        said: what happened, put before the server's own message.
        hint: what to do about it.
    """

    codes: tuple[str, ...]
    shown: re.Pattern[str]
    kind: type[TwoTowerError]
    said: str
    hint: str

    def error(self, text: str, what: str) -> TwoTowerError:
        """Return the error: the action, what went wrong, and the server's message."""
        return self.kind(": ".join(filter(None, (what, self.said, text))), self.hint)


def _line(pattern: str) -> re.Pattern[str]:
    return re.compile(f".*({pattern}).*")


# The server answers and refuses: a retry would not help. A failed connection has no SQLSTATE.
REFUSED = Cause(
    ("28", "3D000"),
    _line(
        r"FATAL: .*(authentication failed|no pg_hba\.conf entry"
        r'|(role|user|database) "[^"]*" does not exist|is not permitted to log in'
        r"|permission denied for database|is not currently accepting connections"
        # Poolers: pgbouncer, Supavisor.
        r"|no such (user|database)|Tenant or user not found|unsupported startup parameter"
        r"|SSL (connection )?(is )?required)"
        # Found by libpq before it talks to the server.
        r"|no password supplied|server does not support SSL|certificate verify failed"
        r"|root certificate file|invalid sslmode value"
        r"|received invalid response to|expected authentication request from server"
    ),
    InputError,
    "Postgres refuses the connection",
    "is DATABASE_URL right: its user, password (@ : / % in it are %40 %3A %2F %25), host, port and"
    " database?",
)
# Its code is that of a full disk. A container has 64 MB of shared memory; an index takes more.
SHARED_MEMORY = Cause(
    (),
    _line(r"could not resize shared memory segment"),
    InputError,
    "the server's shared memory is too small",
    "give it more, and restart it (docker run --shm-size=1g, Compose: shm_size: 1gb)",
)
# The extension is in the catalog and its file is missing, as after an upgrade of the server. The
# code is that of a failing disk (58P01) or of an internal error (XX000).
NO_LIBRARY = Cause(
    (),
    _line(r'could not (load library|access file|open file) "([^"]*/)?vector(\.so)?"'),
    InputError,
    "the server's pgvector library is missing, or cannot be loaded",
    "install pgvector for this version of Postgres on the server's machine",
)
FULL = Cause(
    ("53100",),
    _line(r"No space left on device"),
    FullError,
    "the database's disk is full",
    "make room, then run this again: what was begun was rolled back",
)
GONE = Cause(
    ("08", "57P01", "57P02", "57P03", "57P05", "25P03"),
    _line(
        r"server closed the connection unexpectedly|terminating connection due to"
        r"|connection to server .* failed|could not connect to server|connection already closed"
        r"|the database system is|could not translate host name"
    ),
    UnavailableError,
    "the database went away",
    "run this again: what was begun was rolled back",
)
# The first match wins.
CAUSES = (
    REFUSED,
    SHARED_MEMORY,
    NO_LIBRARY,
    FULL,
    Cause(
        ("25006",),
        _line(r"cannot execute .* in a read-only transaction"),
        InputError,
        "the database is read-only",
        "name the primary in DATABASE_URL, or let the role write: two-tower doctor says which",
    ),
    Cause(
        ("42501",),
        _line(
            r"permission denied (for|to)|must be (owner|member|superuser|able to)"
            r"|query would be affected by row-level security"
        ),
        InputError,
        "the role may not do this",
        ASK_THE_DOCTOR,
    ),
    Cause(
        ("58P01",),
        _line(
            r'extension "[^"]*" is not available|could not open extension control file'
            r'|type "[^"]*halfvec[^"]*" does not exist'
            r"|parameter (name )?\"ivfflat\.|function .*\.l2_norm\(.* does not exist"
        ),
        InputError,
        "pgvector is missing here, or too old",
        ASK_THE_DOCTOR,
    ),
    Cause(
        ("22P05", "22021"),
        _line(r"has no equivalent in encoding|invalid byte sequence for encoding"),
        InputError,
        "the database cannot hold this text",
        "it has to be in UTF-8: two-tower doctor says whether it is",
    ),
    Cause(
        ("0A000", "54", "53400"),
        _line(r"temporary file size exceeds|exceeds maximum [0-9]+"),
        InputError,
        "the server cannot do this",
        "its message names the limit; two-tower doctor checks what a run needs",
    ),
    Cause(
        ("40001", "40P01", "55P03"),
        _line(
            r"could not serialize access|deadlock detected|due to lock timeout"
            r"|a long transaction holds|Could not set lock on file"
        ),
        UnavailableError,
        "in conflict with another session",
        "run this again: what was begun was rolled back",
    ),
    Cause(
        ("53300",),
        _line(r"too many (clients|connections)|remaining connection slots|max_client_conn"),
        UnavailableError,
        "the server has no connection left",
        "close others, or raise max_connections or the role's limit, and run this again",
    ),
    Cause(
        ("57014", "53"),
        _line(r"canceling statement due to|out of memory"),
        UnavailableError,
        "the server ended the statement",
        "run this again: what was begun was rolled back",
    ),
    Cause(
        ("58", "XX"),
        _line(r"could not (read|write|open|extend) file"),
        UnavailableError,
        "the server's own machine fails it",
        "its log says more: a disk that fails, or a damaged file",
    ),
    GONE,
)


def explained(error: BaseException, what: str = "") -> TwoTowerError | None:
    """Return an error of the database as one that a person can act on; None for a defect.

    Args:
        error: any error.
        what: the action that failed, put before the message.
    """
    for found in chain(error):
        if isinstance(found, TwoTowerError):
            return found
        if isinstance(found, psycopg.Error):
            return _of_database(found, what)
    return None


def shown_by_dbt(printed: str) -> tuple[Cause, str] | None:
    """Return the cause that dbt's output shows, and the line of it; None for a defect."""
    for cause in CAUSES:
        line = cause.shown.search(printed)
        if line:
            return cause, line[0].strip()
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the chain of its causes."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _of_database(error: psycopg.Error, what: str) -> TwoTowerError | None:
    code, text = error.sqlstate, first_line(error)
    if code is None and isinstance(error, psycopg.OperationalError):
        return (REFUSED if REFUSED.shown.search(text) else GONE).error(text, what)
    for cause in (SHARED_MEMORY, NO_LIBRARY):  # their codes belong to other errors
        if cause.shown.search(text):
            return cause.error(text, what)
    for cause in CAUSES:
        if code and (code in cause.codes or code[:2] in cause.codes):
            return cause.error(text, what)
    # The code is too general: `type "halfvec" does not exist` means that pgvector is missing.
    for cause in CAUSES:
        if cause.shown.search(text):
            return cause.error(text, what)
    return None
