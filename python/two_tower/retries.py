"""Trying again: steps that can be repeated, after errors that pass by themselves, and no others."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import psycopg

from two_tower.errors import FullError, InputError, TwoTowerError, UnavailableError

logger = logging.getLogger("two_tower")

# https://www.postgresql.org/docs/current/errcodes-appendix.html; class 08 is lost connections.
SQLSTATES = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "53300",  # too_many_connections
    "55P03",  # lock_not_available
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
}
FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0  # seconds

T = TypeVar("T")


def is_worth_retrying(error: BaseException) -> bool:
    """Return whether an error, or what caused it, may be gone in a moment.

    An :class:`UnavailableError` is one by its meaning. Of the database's errors those of
    :data:`SQLSTATES`, and a connection that broke, which has no code.
    """
    for cause in _causes(error):
        if isinstance(cause, UnavailableError):
            return True
        if isinstance(cause, TwoTowerError):
            return False  # what is wrong has been found: it stays wrong
        if isinstance(cause, psycopg.Error):
            code = cause.sqlstate
            if code is None:
                return isinstance(cause, psycopg.OperationalError)
            return code in SQLSTATES or code.startswith("08")
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def call(what: str, function: Callable[[], T], seconds: float) -> T:
    """Call a function that may be called again, until it succeeds or this time is over.

    The pauses double from one second to half a minute, give or take a quarter, so that two
    processes do not knock in step.

    Args:
        what: names it in the log.
        function: is called with nothing.
        seconds: from the first failure on; the last error is raised when they are over.
    """
    deadline: float | None = None
    delay = FIRST_DELAY
    while True:
        try:
            return function()
        except Exception as error:
            now = time.monotonic()
            deadline = deadline if deadline is not None else now + seconds
            pause = delay * random.uniform(0.75, 1.25)
            if not is_worth_retrying(error) or now + pause > deadline:
                explained = _explained(what, error)
                if explained is error:
                    raise
                raise explained from error
            logger.warning("%s: %s; trying again in %.0f s", what, _first_line(error), pause)
        time.sleep(pause)
        delay = min(2 * delay, LONGEST_DELAY)


def _explained(what: str, error: Exception) -> Exception:
    """Return a database error as one that a person can act on; any other as it is.

    By its SQLSTATE: psycopg's OperationalError is also what a server says that is well, and that
    will say it again.
    """
    if not isinstance(error, psycopg.OperationalError):
        return error
    said = _first_line(error)
    again = "run this again: what was begun was rolled back"
    if isinstance(error, psycopg.errors.DiskFull):
        return FullError(f"{what}: the database's disk is full: {said}", again)
    if _is_lost(error):
        return UnavailableError(f"{what}: the database went away: {said}", again)
    if is_worth_retrying(error):
        return UnavailableError(f"{what}: the database is busy: {said}", again)
    if (error.sqlstate or "").startswith("57"):
        return UnavailableError(
            f"{what}: the database ended the statement: {said}",
            "is statement_timeout too short, or was it cancelled? Then run this again",
        )
    return InputError(
        f"{what}: the database refuses it: {said} (SQLSTATE {error.sqlstate})",
        "it will say so again: mend what it names, a value or a setting of the server",
    )


def _is_lost(error: psycopg.OperationalError) -> bool:
    """Return whether the connection broke, or the server is on its way down or up."""
    code = error.sqlstate
    return code is None or code.startswith("08") or code in ("57P01", "57P02", "57P03")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
