"""Servers and databases as they should not be, real ones; each yields the URL that is in `.env`."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from pgbouncer import running_pgbouncer, through
from postgres_server import PASSWORD, ROLE, PostgresServer, free_port, running_postgres

OLD_WHEEL = importlib.util.find_spec("pgserver")
READ_ONLY = "default_transaction_read_only"
CREATE = "grant create on database {database} to {role}"
TEMPORARY = "grant temporary on database {database} to {role}"
PUBLIC = "grant create on schema public to {role}"
EXTENSIONS = "grant usage on schema extensions to {role}"


def of_another(server: PostgresServer, name: str, *grants: str) -> str:
    """A database as an administrator makes one who grants only this much."""
    make_role(server)
    server.as_superuser(f"create database {name}")
    server.as_superuser(
        "create schema extensions",
        "create extension vector schema extensions",
        f"revoke temporary on database {name} from public",
        *(grant.format(database=name, role=ROLE) for grant in grants),
        database=name,
    )
    return server.dsn(name)


def make_role(server: PostgresServer) -> None:
    with suppress(psycopg.errors.DuplicateObject):
        server.as_superuser(f"create role {ROLE} login password '{PASSWORD}'")


@contextmanager
def no_create_on_the_database(server: PostgresServer) -> Iterator[str]:
    yield of_another(server, "no_create", TEMPORARY, PUBLIC, EXTENSIONS)


@contextmanager
def no_create_on_public(server: PostgresServer) -> Iterator[str]:
    yield of_another(server, "no_public", CREATE, TEMPORARY, EXTENSIONS)


@contextmanager
def no_temporary_tables(server: PostgresServer) -> Iterator[str]:
    yield of_another(server, "no_temporary", CREATE, PUBLIC, EXTENSIONS)


@contextmanager
def no_usage_of_pgvector(server: PostgresServer) -> Iterator[str]:
    yield of_another(server, "no_usage", CREATE, TEMPORARY, PUBLIC)


@contextmanager
def pgvector_not_created(server: PostgresServer) -> Iterator[str]:
    url = server.prepare("not_created")
    server.as_superuser("drop extension vector", database="not_created")
    yield url


@contextmanager
def pgvector_not_installed(server: PostgresServer) -> Iterator[str]:
    wheel = server.bin_dir.parents[1]
    folder = server.folder.parent / "wheel"
    home = folder / wheel.name / server.bin_dir.parent.name
    for part in ("bin", "share"):
        shutil.copytree(server.bin_dir.parent / part, home / part, symlinks=True)
    (home / "lib").symlink_to(server.bin_dir.parent / "lib")
    (folder / f"{wheel.name}.libs").symlink_to(wheel.with_name(f"{wheel.name}.libs"))
    for path in home.rglob("vector*"):
        path.unlink()
    with running_postgres(home / "bin") as bare:
        make_role(bare)
        bare.as_superuser(f"create database bare owner {ROLE}")
        yield bare.dsn("bare")


@contextmanager
def pgvector_of_2024(server: PostgresServer) -> Iterator[str]:
    if OLD_WHEEL is None or OLD_WHEEL.origin is None:
        pytest.skip("the wheel pgserver 0.1.4, which has pgvector 0.6.2, is not installed")
    with running_postgres(Path(OLD_WHEEL.origin).parent / "pginstall/bin") as old:
        yield old.prepare("of_2024")


@contextmanager
def read_only_role(server: PostgresServer) -> Iterator[str]:
    url = server.prepare("read_only")
    setting = f"{READ_ONLY} = on"
    server.as_superuser(
        f"alter role {ROLE} in database read_only set {setting}", database="read_only"
    )
    yield url


@contextmanager
def read_only_database(server: PostgresServer) -> Iterator[str]:
    url = server.prepare("read_only_too")
    server.as_superuser(f"alter database read_only_too set {READ_ONLY} = on")
    yield url


@contextmanager
def standby(server: PostgresServer) -> Iterator[str]:
    server.prepare("copied")
    copy = PostgresServer(server.folder.parent / "standby")
    copy.folder.mkdir()
    shutil.copystat(server.folder, copy.folder)
    shutil.chown(copy.folder, server.folder.owner())
    connection = ("-h", str(server.folder), "-p", str(server.port), "-U", "postgres")
    server.run("pg_basebackup", *connection, "-D", str(copy.folder), "-R", "-c", "fast")
    try:
        copy.start()
        yield copy.dsn("copied")
    finally:
        copy.stop("immediate")


@contextmanager
def in_encoding(server: PostgresServer, encoding: str) -> Iterator[str]:
    name = f"in_{encoding.lower()}"
    make_role(server)
    made = f"create database {name} owner {ROLE} encoding '{encoding}' template template0"
    server.as_superuser(made)
    server.as_superuser("create extension vector", database=name)
    yield server.dsn(name)


@contextmanager
def sql_ascii(server: PostgresServer) -> Iterator[str]:
    with in_encoding(server, "SQL_ASCII") as url:
        yield url


@contextmanager
def latin1(server: PostgresServer) -> Iterator[str]:
    with in_encoding(server, "LATIN1") as url:
        yield url


@contextmanager
def transaction_pooler(server: PostgresServer) -> Iterator[str]:
    url = server.prepare("pooled")
    with running_pgbouncer(server, "transaction") as port:
        yield through(url, server, port)


@contextmanager
def tables_of_another(server: PostgresServer) -> Iterator[str]:
    url = server.prepare("of_another")
    server.as_superuser(
        f"create schema raw authorization {ROLE}",
        "create table raw.reviews (reviewer_id text)",
        "create view raw.an_analysts_own as select 1 as one",
        database="of_another",
    )
    yield url


@contextmanager
def wrong_password(server: PostgresServer) -> Iterator[str]:
    server.prepare("locked")
    yield server.dsn("locked", password="not-this-one")


@contextmanager
def server_down(server: PostgresServer) -> Iterator[str]:
    yield f"postgresql://{ROLE}:secret@127.0.0.1:{free_port()}/nothing"


@contextmanager
def no_postgres_at_all(server: PostgresServer) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as web:

        def serve() -> None:
            with suppress(OSError):  # it is closed
                while True:
                    caller, _ = web.accept()
                    with caller:
                        caller.recv(100)
                        caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"postgresql://{ROLE}:secret@127.0.0.1:{web.getsockname()[1]}/nothing"


@contextmanager
def few_connections(server: PostgresServer) -> Iterator[str]:
    url = server.prepare("few")
    server.as_superuser("alter database few connection limit 3")
    yield url


@contextmanager
def small_pool(server: PostgresServer) -> Iterator[str]:
    url = server.prepare("small_pool")
    with running_pgbouncer(server, "session", default_pool_size="1") as port:
        yield through(url, server, port)


@contextmanager
def several_at_once(server: PostgresServer) -> Iterator[str]:
    yield of_another(server, "several", PUBLIC)
