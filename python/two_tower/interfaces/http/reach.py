"""Whether Postgres can be reached, by what a pool meets, and the pool's own log."""

from __future__ import annotations

import logging
import time
from typing import Any

logger = logging.getLogger("two_tower.http")

AWAY_SECONDS = 1  # a call waits no longer for a connection, and the pool tries as often
AGAIN_SECONDS = 60  # what was told is told again, while it lasts


class Reach(logging.Handler):
    """What is known of the way to Postgres.

    As a handler of psycopg's log it tells each kind of warning in a line, and once a minute: the
    pool repeats them with each attempt.

    Attributes:
        is_away: a connection was lost or could not be made, and since then nothing has answered.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.is_away = False
        self._told: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it in the project's log."""
        now = time.monotonic()
        if now - self._told.get(record.msg, -AGAIN_SECONDS) >= AGAIN_SECONDS:
            self._told[record.msg] = now
            logger.log(record.levelno, "%s", " ".join(record.getMessage().split()))

    def answers(self) -> None:
        """Note that the database has answered."""
        self.is_away = False

    async def made(self, connection: Any) -> None:
        """Note that a connection was made."""
        self.answers()

    async def failed(self, pool: Any) -> None:
        """Note that none could be made."""
        self.is_away = True
