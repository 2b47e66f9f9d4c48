"""The dbt-duckdb plugin that fills the raw tables when dbt opens the DuckDB file.

``dbt build --target duckdb`` thus reads the CSV files with the parser of ``two-tower load``.
"""

import os
from pathlib import Path
from typing import Any

import dbt.flags
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection

from two_tower.core.errors import TwoTowerError
from two_tower.core.settings import Settings, read_settings
from two_tower.data.load import load
from two_tower.database import ddl
from two_tower.database.warehouse import DuckDBWarehouse, add_nfkc

# Not `test`: it tests what was built, and newer raw rows would contradict that.
LOADING_COMMANDS = ("build", "run", "retry")


class Plugin(BasePlugin):
    """See the module."""

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Make the folder of the database file, which DuckDB itself does not."""
        if creds.path != ":memory:":
            Path(creds.path).parent.mkdir(parents=True, exist_ok=True)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Make the raw tables and, where the command builds models, load what is new or changed.

        Raises:
            DbtRuntimeError: a file cannot be loaded; dbt shows the message and its hint alone.
        """
        add_nfkc(conn)
        warehouse = DuckDBWarehouse(conn)
        flags: Any = dbt.flags.get_flags()  # type: ignore[no-untyped-call]
        try:
            if getattr(flags, "WHICH", None) in LOADING_COMMANDS:
                load(_settings(flags), warehouse)
            else:
                ddl.ensure_all(warehouse)
        except TwoTowerError as error:
            raise DbtRuntimeError(f"{error}\n{error.hint}") from error


def _settings(flags: Any) -> Settings:
    """Return the settings of the project that dbt runs, wherever it was started."""
    found = os.environ.get("TWO_TOWER_PROJECT_DIR") or getattr(flags, "PROJECT_DIR", None) or "."
    return read_settings(Path(found).resolve(), target="duckdb")
