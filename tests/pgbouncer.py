"""A pgbouncer in front of a server, where Debian's package is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from postgres_server import PASSWORD, ROLE, SYSTEM_USER, PostgresServer, free_port

# Debian puts it where only root looks.
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
Mode = Literal["session", "transaction"]

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


@contextmanager
def running_pgbouncer(server: PostgresServer, mode: Mode, **settings: str) -> Iterator[int]:
    """A pooler in front of all of a server's databases; yields its port."""
    assert PROGRAM is not None
    folder, port = server.folder.parent / f"pgbouncer-{mode}", free_port()
    folder.mkdir()
    given = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": str(folder / "users.txt"),
        "pool_mode": mode,
        **settings,
    }
    lines = ["[databases]", f"* = host=127.0.0.1 port={server.port}", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in given.items()]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    (folder / "users.txt").write_text(f'"{ROLE}" "{PASSWORD}"\n')
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, folder / "pgbouncer.ini"],
            user=SYSTEM_USER if os.geteuid() == 0 else None,  # it refuses to run as root
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, port, folder / "log")
        yield port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def through(url: str, server: PostgresServer, port: int) -> str:
    """Return the URL of a server's database by way of a pooler at another port."""
    assert f":{server.port}/" in url
    return url.replace(f":{server.port}/", f":{port}/")


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=nobody password=x dbname=x").close()
        except psycopg.OperationalError as error:
            if "refused" not in str(error):  # it answers
                return
        time.sleep(0.05)
    raise RuntimeError(f"pgbouncer did not start: {log.read_text()}")
