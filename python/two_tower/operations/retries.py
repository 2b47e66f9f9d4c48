"""Retries after errors that may pass by themselves."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from two_tower.core.errors import TwoTowerError, UnavailableError
from two_tower.database.database_errors import chain, explained, first_line

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
    """Return whether an error, or its cause, may pass by itself.

    That is an :class:`UnavailableError`, an error of the database with one of :data:`SQLSTATES`, or
    a lost connection, which has no SQLSTATE.
    """
    for cause in chain(error):
        if isinstance(cause, UnavailableError):
            return True
        if isinstance(cause, TwoTowerError):
            return False  # the cause is known, and does not pass by itself
        if isinstance(cause, psycopg.Error):
            code = cause.sqlstate
            if code is None:
                return isinstance(cause, psycopg.OperationalError)
            return code in SQLSTATES or code.startswith("08")
    return False


def call(what: str, function: Callable[[], T], seconds: float) -> T:
    """Call an idempotent function until it succeeds, or fails for this long.

    The delays double from 1 s to 30 s, with a jitter of a quarter, so that two processes do not
    retry in step.

    Args:
        what: its name in the log.
        function: takes no arguments.
        seconds: counted from the first failure; then the last error is raised.
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
                found = explained(error, what)
                if found is None or found is error:
                    raise
                raise found from error
            logger.warning("%s: %s; trying again in %.0f s", what, first_line(error), pause)
        time.sleep(pause)
        delay = min(2 * delay, LONGEST_DELAY)
