"""Where Postgres is. Apart from :mod:`warehouse`, which loads DuckDB and Arrow."""

from __future__ import annotations

import os

from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.database import embedded, sessions


def target_dsn(settings: Settings) -> str:
    """Return the Postgres DSN of the target; starts the embedded server if it is not running.

    Raises:
        InputError: the target is DuckDB, neither DATABASE_URL nor PGHOST is set, or DATABASE_URL
            cannot be read.
    """
    if settings.target == "embedded":
        return embedded.start(settings)
    if settings.target == "duckdb":
        raise InputError("the target is duckdb, which has no DSN", "set TWO_TOWER_TARGET")
    return postgres_dsn(settings)


def postgres_dsn(settings: Settings) -> str:
    """Return the DSN of the target postgres.

    Raises:
        InputError: neither DATABASE_URL nor PGHOST is set, or DATABASE_URL cannot be read.
    """
    if settings.database_url is not None and settings.database_url.get_secret_value():
        return sessions.readable(settings.database_url.get_secret_value())
    if "PGHOST" in os.environ or "PGSERVICE" in os.environ:
        return "postgresql://"
    raise InputError(
        "target postgres, but neither DATABASE_URL nor PGHOST is set",
        "put DATABASE_URL=postgresql://user:password@host:5432/database into .env",
    )
