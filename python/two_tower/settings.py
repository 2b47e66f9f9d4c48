"""The settings of a project: environment variables, then ``.env``, then these defaults."""

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from two_tower.config import TrainConfig
from two_tower.errors import InputError

Target = Literal["embedded", "postgres", "duckdb"]


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


class Settings(BaseSettings):
    """One typed object for everything that differs between machines.

    Each field is read from ``TWO_TOWER_<FIELD>`` (``DATABASE_URL`` for the database). Relative
    paths are relative to the project folder.
    """

    model_config = SettingsConfigDict(
        env_prefix="TWO_TOWER_",
        env_nested_delimiter="__",
        env_file=".env",
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
    runs_dir: Path = Field(
        default=Path("runs"), description="training runs: checkpoints and reports"
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
    threads: int = Field(default=2, ge=1, description="dbt threads")
    memory_limit: str = Field(default="4GB", description="DuckDB's memory limit")

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
