"""What a `dbt build` would only repeat. The plugin ``dbt_two_tower`` asks before dbt parses.

A build is left out if a former one ended well with the same SQL, vars and versions, and if the rows
of all that it read and made are those that were there at its end. ``two_tower.whole_build`` has a
row of it, and the function ``two_tower.rows_of_build`` says what the rows are now; both are written
by hooks (macros/whole_build). In doubt, such as after an error, there is no former build.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import duckdb
import psycopg

from two_tower.artifacts.runs import package_checksum
from two_tower.core.errors import TwoTowerError
from two_tower.core.settings import Settings
from two_tower.database.warehouse import Warehouse, open_warehouse

PACKAGES = ("dbt-core", "dbt-adapters", "dbt-duckdb", "dbt-postgres", "duckdb")


@dataclass(frozen=True)
class Outlook:
    """What a `dbt build` has to do.

    Attributes:
        key: checksum of all that it depends on but rows; the hooks store it.
        sql: checksum of what a unit test depends on.
        has_unit_tests: whether the unit tests have passed on this SQL.
        repeats: the build that it would repeat as a whole; None where there is work to do.
    """

    key: str
    sql: str
    has_unit_tests: bool = False
    repeats: Former | None = None


@dataclass(frozen=True)
class Former:
    """A build that ended well: when, UTC; its models; the names of the tests that warned."""

    finished_at: datetime
    models: int
    warnings: str


def look(settings: Settings, variables: Mapping[str, Any], *, with_unit_tests: bool) -> Outlook:
    """Return what a bare `dbt build` has to do. On DuckDB the changed files are loaded first.

    Args:
        settings: the project.
        variables: those of the command line.
        with_unit_tests: whether the command would run them.
    """
    try:
        with open_warehouse(settings) as warehouse:
            return _outlook(settings, warehouse, variables, with_unit_tests)
    except (TwoTowerError, psycopg.Error, duckdb.Error):
        return Outlook(*_checksums(settings, variables, ""))  # dbt will say what is wrong


def sentence(former: Former) -> str:
    """Return what a person is told who has typed the build that is left out."""
    warned = f" Its warnings stand: {former.warnings}." if former.warnings else ""
    return (
        "Nothing is new: SQL, vars, versions and every row are those of the build that ended at"
        f" {former.finished_at:%Y-%m-%d %H:%M} UTC. Its {former.models} models are left as they"
        f" are, and so is what their tests found.{warned}"
        " `dbt build --full-refresh` builds all of it."
    )


def sql_checksum(settings: Settings) -> str:
    """Return a checksum of the SQL and of this package."""
    digest = hashlib.sha256()
    project = settings.project_dir
    files = [*project.glob("dbt_project.yml"), *project.glob("selectors.yml")]
    files += (project / "models").rglob("*.*")
    for folder in ("macros", "sql", "tests/dbt"):
        files += (project / folder).rglob("*.sql")
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest() + package_checksum()


def _outlook(
    settings: Settings, warehouse: Warehouse, variables: Mapping[str, Any], with_unit_tests: bool
) -> Outlook:
    server = warehouse.fetch("select version() as version")[0]["version"]
    key, sql = _checksums(settings, variables, str(server))
    if not warehouse.relation_exists("two_tower", "whole_build"):
        return Outlook(key, sql)
    found = warehouse.fetch(
        "select key, sql, has_unit_tests, rows, models, warnings, finished_at"
        " from two_tower.whole_build where finished_at is not null"
    )
    if len(found) != 1 or found[0]["sql"] != sql:
        return Outlook(key, sql)
    former = found[0]
    tested = bool(former["has_unit_tests"])
    if former["key"] != key or not (tested or not with_unit_tests):
        return Outlook(key, sql, tested)
    if settings.target == "duckdb":
        from two_tower.data.load import load

        load(settings, warehouse)
    if former["rows"] != warehouse.fetch("select two_tower.rows_of_build() as rows")[0]["rows"]:
        return Outlook(key, sql, tested)
    repeated = Former(former["finished_at"], former["models"], former["warnings"])
    return Outlook(key, sql, tested, repeated)


def _checksums(settings: Settings, variables: Mapping[str, Any], server: str) -> tuple[str, str]:
    """Return that of all but rows, and that of what unit tests depend on."""
    versions = [server, unicodedata.unidata_version, *map(version, PACKAGES)]
    sql = _hash([sql_checksum(settings), versions, dict(variables), settings.target])
    # With each month a build makes a table for the events of a later one, and drops what is old.
    return _hash([sql, settings.schema_name, f"{datetime.now(UTC):%Y-%m}"]), sql


def _hash(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str, sort_keys=True).encode()).hexdigest()
