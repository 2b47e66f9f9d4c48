"""Feature tables that another warehouse made, read as Parquet from a folder or a bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import fsspec

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database.warehouse import DuckDBWarehouse, Warehouse, open_warehouse

# What training and embedding read; the last two may be left out by who does not need them.
TABLES = (
    *("feature_layout", "feature_layout_versions", "training_users", "item_feature_slots"),
    *("user_feature_slots", "int_moment"),
)


@contextmanager
def open_features(settings: Settings, warehouse: Warehouse | None = None) -> Iterator[Warehouse]:
    """Open the feature tables: those of the target, or of ``features_url`` where that is set.

    There, ``TABLE/*.parquet`` are views of a DuckDB in memory, which streams them. A protocol
    (another schema) is built in the target, and read there.

    Args:
        settings: the project.
        warehouse: the target's database where it is open; it is not closed.

    Raises:
        NotEnoughDataError: there are no such files.
        InputError: the URL is wrong, or its driver is not installed.
    """
    is_of_build = settings.schema_name == "two_tower"
    if settings.features_url is not None and is_of_build:
        with tempfile.TemporaryDirectory() as spilled, duckdb.connect() as connection:
            connection.execute(f"set memory_limit = '{settings.memory_limit}'")
            connection.execute(f"set temp_directory = '{spilled}'")
            _make_views(settings, connection)
            yield DuckDBWarehouse(connection)
    elif warehouse is not None:
        yield warehouse
    else:
        with open_warehouse(settings) as opened:
            yield opened


def _make_views(settings: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    url = str(settings.features_url)
    if "://" not in url:
        url = str((settings.project_dir / url).absolute())
    try:
        system, root = fsspec.core.url_to_fs(url, **settings.features_options)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"cannot open the features at {url}: {error}",
            "set TWO_TOWER_FEATURES_URL to a folder or a URL such as s3://bucket/prefix"
            " (s3 needs: pip install 'two-tower[s3]')",
        ) from error
    if "://" in url:
        connection.register_filesystem(system)
    connection.execute("create schema two_tower")
    for table in TABLES:
        if system.glob(f"{root}/{table}/*.parquet"):
            files = f"{url.rstrip('/')}/{table}/*.parquet".replace("'", "''")
            connection.execute(
                f"create view two_tower.{table} as select * from read_parquet('{files}')"
            )
        elif table == TABLES[0]:
            raise NotEnoughDataError(
                f"no {table}/*.parquet in {url}", "docs/scaling.md says what has to be there"
            )
