"""The settings of a project: environment variables, then ``.env``, then these defaults."""

import os
import re
from datetime import datetime
from functools import cached_property
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from two_tower.config import TrainConfig
from two_tower.errors import InputError
from two_tower.logs import LogFormat
from two_tower.targets import Target
from two_tower.thresholds import Thresholds

__all__ = ["Settings", "Target", "find_project_dir", "read_log_format", "read_settings"]


def find_project_dir(start: Path | None = None) -> Path:
    """Return the nearest folder at or above ``start`` that holds a ``dbt_project.yml``.

    Raises:
        InputError: no such folder.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise InputError(
        f"no dbt_project.yml in {here} or above it",
        "run two-tower inside a clone of the project, or set TWO_TOWER_PROJECT_DIR",
    )


def _env_file() -> Path | None:
    """Return the project's ``.env``, wherever below the project the command is typed."""
    try:
        return find_project_dir(Path(os.environ.get("TWO_TOWER_PROJECT_DIR", "."))) / ".env"
    except InputError:
        return None


class Settings(BaseSettings):
    """One typed object for everything that differs between machines.

    Each field is read from ``TWO_TOWER_<FIELD>`` (``DATABASE_URL`` for the database). Relative
    paths are relative to the project folder.
    """

    model_config = SettingsConfigDict(
        env_prefix="TWO_TOWER_",
        env_nested_delimiter="__",
        env_file=_env_file(),
        extra="ignore",
        populate_by_name=True,
    )

    target: Target = Field(
        default="embedded", description="where the data lives: a profiles.yml target"
    )
    project_dir: Path = Field(
        default_factory=find_project_dir, description="the folder of dbt_project.yml"
    )
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("TWO_TOWER_DATABASE_URL", "DATABASE_URL"),
        description="target postgres: its DSN (otherwise the PG* variables)",
    )
    data_dir: Path = Field(
        default=Path("data/raw"), description="reviews/dmm_reviews_*.csv and catalogue/*.csv"
    )
    postgres_dir: Path = Field(
        default=Path("data/postgres"), description="data of the embedded Postgres"
    )
    duckdb_path: Path = Field(default=Path("data/warehouse.duckdb"), description="the DuckDB file")
    schema_name: str = Field(
        default="two_tower",
        pattern="^[a-z_][a-z0-9_]*$",
        validation_alias=AliasChoices("TWO_TOWER_SCHEMA", "schema_name"),
        description="where dbt builds, and training reads; what an app reads stays in two_tower",
    )
    runs_dir: Path = Field(
        default=Path("runs"), description="training runs: checkpoints and reports"
    )
    prefect_dir: Path = Field(
        default=Path("data/prefect"), description="what `make prefect` keeps: runs, artifacts, logs"
    )
    registry_url: str = Field(
        default="artifacts",
        description="a folder or any fsspec URL (s3://bucket/prefix) for artifacts",
    )
    registry_options: dict[str, object] = Field(
        default_factory=dict, description="fsspec storage options, as JSON", repr=False
    )
    train: TrainConfig = Field(
        default_factory=TrainConfig, description="training: TWO_TOWER_TRAIN__FIELD"
    )
    as_of: datetime | None = Field(
        default=None, description="the moment dbt builds for (UTC); default: the latest review"
    )
    keep_versions: int = Field(
        default=8,
        ge=2,
        description="versions kept in registry and runs, beside what serves",
    )
    threads: int = Field(default=2, ge=1, description="dbt threads")
    memory_limit: str = Field(default="4GB", description="DuckDB's memory limit")
    monitor: Thresholds = Field(
        default_factory=Thresholds,
        description="from where on `status --check` warns: TWO_TOWER_MONITOR__FIELD",
    )
    log_format: LogFormat = Field(
        default="text", description="of what is logged on stderr: for people, or a JSON line each"
    )
    reindex_share: float = Field(
        default=0.1,
        gt=0,
        description="share of rows newer than an index from which on `refresh` builds it anew",
    )
    retry_seconds: float = Field(
        default=300,
        ge=0,
        description="how long a step is tried again while a server does not answer",
    )

    def path(self, value: Path) -> Path:
        """Return ``value`` as an absolute path below the project folder."""
        return value if value.is_absolute() else self.project_dir / value

    @cached_property
    def reviews_glob(self) -> str:
        """The CSV glob of the raw reviews."""
        return str(self.path(self.data_dir) / "reviews" / "dmm_reviews_*.csv")

    @cached_property
    def catalogue_dir(self) -> Path:
        """The folder of the catalogue's CSV files."""
        return self.path(self.data_dir) / "catalogue"


def read_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        InputError: a setting is wrong: its name, and what is wrong with it, never its value.
    """
    hint = "see .env.example, and config.py for TWO_TOWER_TRAIN__…"
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"setting TWO_TOWER_{'__'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False)
        ]
        raise InputError("\n".join(problems), hint) from None
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = field[1].upper() if field else "…"
        raise InputError(f"setting TWO_TOWER_{name} is not JSON", hint) from None


class _LogFormat(BaseSettings):
    model_config = Settings.model_config
    log_format: LogFormat = "text"


def read_log_format() -> LogFormat:
    """Return how to log, also where another setting is wrong: its error is to be logged so."""
    try:
        return _LogFormat().log_format
    except (ValidationError, SettingsError):
        return "text"
