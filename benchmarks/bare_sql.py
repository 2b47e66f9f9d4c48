"""The SQL of the models as dbt compiled it, run without dbt."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from two_tower.database.warehouse import add_nfkc


def compiled_models(target_path: Path, tables: Iterable[str] | None = None) -> list[str]:
    """Return a `create` statement for each model of the last build, in the order they ran.

    Args:
        target_path: of dbt, with its manifest and the results of the build.
        tables: these models and whatever they are made from; by default all.
    """
    manifest = json.loads((target_path / "manifest.json").read_text())
    results = json.loads((target_path / "run_results.json").read_text())["results"]
    nodes = {name: node for name, node in manifest["nodes"].items() if name.startswith("model.")}
    wanted = {name for name, node in nodes.items() if tables is None or node["name"] in tables}
    found = set(wanted)
    while wanted:
        parents = {each for name in wanted for each in nodes[name]["depends_on"]["nodes"]}
        wanted = (parents & nodes.keys()) - found
        found |= wanted
    statements = []
    for result in results:
        if result["unique_id"] not in found:
            continue
        node = nodes[result["unique_id"]]
        kind = "view" if node["config"]["materialized"] == "view" else "table"
        statements.append(f"create {kind} bare.{node['name']} as {result['compiled_code']}")
    return statements


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own.

    The peak memory that the system reports of a child is never below that of its parent when it
    started, so this process has to stay small.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def execute(place: str, statements: list[str]) -> tuple[float, float]:
    """Run the statements in a schema of their own; return seconds, and this process's peak MiB.

    Args:
        place: a Postgres DSN or a DuckDB file.
        statements: SQL.
    """
    connection: psycopg.Connection | duckdb.DuckDBPyConnection
    if place.startswith("postgresql:"):
        connection = psycopg.connect(place, autocommit=True)
    else:
        connection = duckdb.connect(place)
        add_nfkc(connection)
    with connection:
        connection.execute("create schema bare")
        started = time.perf_counter()
        for statement in statements:
            connection.execute(statement)
        seconds = time.perf_counter() - started
        connection.execute("drop schema bare cascade")
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
