"""The doctor's checks of Postgres: server, connections, encoding, pgvector."""

from __future__ import annotations

import re
from typing import Any

import psycopg

from two_tower.core import checks
from two_tower.core.checks import Check
from two_tower.core.errors import TwoTowerError
from two_tower.core.settings import Settings
from two_tower.database import sessions
from two_tower.database.database_errors import first_line
from two_tower.database.sessions import TransactionPoolerError, redact
from two_tower.database.warehouse import PostgresWarehouse, open_warehouse
from two_tower.operations import privilege_checks

OLDEST_SERVER = 14
OLDEST_PGVECTOR = (0, 8)

# A single row about the server, the database, the role and pgvector.
FACTS = """
select
    current_setting('server_version') as version,
    current_setting('server_version_num')::integer as version_number,
    quote_ident(current_user) as role,
    quote_ident(d.datname) as database,
    pg_encoding_to_char(d.encoding) as encoding,
    pg_is_in_recovery() as is_standby,
    current_setting('transaction_read_only')::boolean as is_read_only,
    (select source from pg_settings where name = 'default_transaction_read_only') as read_only_by,
    nullif(r.rolconnlimit, -1) as role_limit,
    nullif(d.datconnlimit, -1) as database_limit,
    current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer as server_limit,
    (select sum(numbackends) from pg_stat_database) as open_connections,
    has_database_privilege(d.oid, 'create') as may_create,
    has_database_privilege(d.oid, 'temporary') as may_make_temporary,
    e.extversion as pgvector,
    quote_ident(n.nspname) as pgvector_schema,
    has_schema_privilege(n.oid, 'usage') as may_use_pgvector
from pg_database as d
join pg_roles as r on r.rolname = current_user
left join pg_extension as e on e.extname = 'vector'
left join pg_namespace as n on n.oid = e.extnamespace
where d.datname = current_database()
"""


def checks_of(settings: Settings) -> list[Check]:
    """Return the checks of the target's Postgres; only one if the connection is refused.

    Nothing is written: what has to be tried is rolled back.
    """
    try:
        return [_session(None), *_checks(settings, for_app=False)]
    except TransactionPoolerError as error:
        return [_session(error), *_checks(settings, for_app=True)]
    except TwoTowerError as error:
        return [checks.of_error("database", error)]


def _checks(settings: Settings, for_app: bool) -> list[Check]:
    with open_warehouse(settings, for_app=for_app) as warehouse:
        assert isinstance(warehouse, PostgresWarehouse)
        facts = warehouse.fetch(FACTS)[0]
        return [
            _server(facts, redact(warehouse.dsn)),
            _connections(settings, facts),
            _encoding(facts),
            _writable(facts),
            _pgvector(facts, warehouse),
            *privilege_checks.checks_of(settings, facts, warehouse),
        ]


def _session(error: TransactionPoolerError | None) -> Check:
    if error is not None:
        return checks.of_error("session", error)
    return checks.ok("session", "connections keep their session")


def _server(facts: dict[str, Any], place: str) -> Check:
    found = f"Postgres {facts['version']} at {place}, as {facts['role']}"
    if facts["version_number"] < OLDEST_SERVER * 10_000:
        fix = f"Postgres {OLDEST_SERVER} or newer is needed: upgrade it, or name another"
        return checks.failed("server", found, fix)
    return checks.ok("server", found)


def _connections(settings: Settings, facts: dict[str, Any]) -> Check:
    """Check that a run can open as many connections as it needs at once."""
    role, database = facts["role"], facts["database"]
    wanted = sessions.SESSIONS + settings.threads
    limits = {
        f"role {role}": (facts["role_limit"], f"alter role {role} connection limit -1"),
        f"database {database}": (
            facts["database_limit"],
            f"alter database {database} connection limit -1",
        ),
        "the server": (facts["server_limit"], "raise max_connections, and restart it"),
    }
    for whose, (limit, fix) in limits.items():
        if limit is not None and limit < sessions.SESSIONS:
            found = (
                f"{whose} takes {limit} connections, and a run up to {sessions.SESSIONS} at once"
            )
            return checks.failed("connections", found, fix)
    free = facts["server_limit"] - facts["open_connections"]
    found = f"{free} of {facts['server_limit']} connections are free"
    if free < wanted:
        return checks.warning("connections", found, "close others, or raise max_connections")
    return checks.ok("connections", found)


def _encoding(facts: dict[str, Any]) -> Check:
    found = f"database {facts['database']} is in {facts['encoding']}"
    if facts["encoding"] == "UTF8":
        return checks.ok("encoding", found)
    return checks.failed(
        "encoding",
        f"{found}, which cannot hold every id",
        f"create database NEW owner {facts['role']} encoding 'UTF8' template template0; and name"
        " it in DATABASE_URL",
    )


def _writable(facts: dict[str, Any]) -> Check:
    if facts["is_standby"]:
        return checks.failed(
            "writable",
            "this server is a standby: it can be read only",
            "name the primary in DATABASE_URL (of several hosts, ?target_session_attrs=read-write"
            " picks it)",
        )
    if not facts["is_read_only"]:
        return checks.ok("writable", "the server takes writes")
    role, database = facts["role"], facts["database"]
    setting = "default_transaction_read_only"
    fixes = {
        "user": f"alter role {role} reset {setting}",
        "database": f"alter database {database} reset {setting}",
        "database user": f"alter role {role} in database {database} reset {setting}",
        "client": f"take {setting} out of PGOPTIONS, or of the options in DATABASE_URL",
    }
    return checks.failed(
        "writable",
        f"transactions of {role} are read-only: {setting} is on",
        # A managed server sets it when its disk is full.
        fixes.get(
            facts["read_only_by"],
            f"is the server's disk full? if not: alter role {role} set {setting} = off",
        ),
    )


def _pgvector(facts: dict[str, Any], warehouse: PostgresWarehouse) -> Check:
    role, schema = facts["role"], facts["pgvector_schema"]
    if facts["pgvector"] is None:
        return _pgvector_to_be(facts, warehouse)
    found = f"pgvector {facts['pgvector']} in schema {schema}"
    if _version(facts["pgvector"]) < OLDEST_PGVECTOR:
        available = _available(warehouse)
        fix = "alter extension vector update, as its owner"
        if _version(available or "0") < OLDEST_PGVECTOR:
            fix = f"install pgvector 0.8 on the server (it has {available}); then {fix}"
        return checks.failed("pgvector", f"{found} has no iterative scan: 0.8 is needed", fix)
    if not facts["may_use_pgvector"]:
        return checks.failed(
            "pgvector",
            f"{found}, which {role} may not use",
            f"grant usage on schema {schema} to {role};",
        )
    return checks.ok("pgvector", found)


def _pgvector_to_be(facts: dict[str, Any], warehouse: PostgresWarehouse) -> Check:
    """Check that the first load can create pgvector, by trying: privileges do not tell."""
    available = _available(warehouse)
    as_owner = f"as a superuser, in database {facts['database']}: create extension vector;"
    if available is None or _version(available) < OLDEST_PGVECTOR:
        has = f"has pgvector {available}" if available else "has no pgvector"
        return checks.failed(
            "pgvector",
            f"the server {has}, and 0.8 is needed",
            f"install pgvector 0.8 or newer on the server; then, {as_owner}",
        )
    if facts["is_read_only"]:  # reported by another check
        return checks.ok("pgvector", f"pgvector {available} can be created")
    try:
        with warehouse.connection.transaction(force_rollback=True):
            warehouse.execute("create extension vector")
    except psycopg.Error as error:
        return checks.failed(
            "pgvector",
            f"pgvector is not in the database, and {facts['role']} may not create it"
            f" ({first_line(error)})",
            as_owner,
        )
    return checks.ok("pgvector", f"the first load creates pgvector {available}")


def _available(warehouse: PostgresWarehouse) -> str | None:
    rows = warehouse.fetch(
        "select default_version as v from pg_available_extensions where name = 'vector'"
    )
    return str(rows[0]["v"]) if rows else None


def _version(text: str) -> tuple[int, ...]:
    """Return major and minor version: (0, 8) for 0.8.1."""
    found = re.match(r"(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
