"""The settings of a project: environment variables, then ``.env``, then these defaults."""

import os
import re
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from two_tower.core import env_file
from two_tower.core.errors import InputError
from two_tower.core.logs import LogFormat
from two_tower.core.serve_settings import ServeSettings
from two_tower.core.targets import Engine, Target
from two_tower.core.thresholds import Thresholds
from two_tower.core.train_config import TrainConfig

__all__ = ["Settings", "Target", "find_project_dir", "read_log_format", "read_settings"]

PREFIX = "TWO_TOWER_"
REVIEW_FILES = "dmm_reviews_*.csv"
# No settings: two-tower sets them for dbt, and profiles.yml.example reads them.
TOLD_TO_DBT = (
    *("TWO_TOWER_SOCKET_DIR", "TWO_TOWER_PGHOST", "TWO_TOWER_PGPORT", "TWO_TOWER_PGUSER"),
    *("TWO_TOWER_PGDATABASE", "TWO_TOWER_PGSSLMODE", "TWO_TOWER_STARTED_DBT"),
)


def find_project_dir(start: Path | None = None) -> Path:
    """Return the nearest folder with a ``dbt_project.yml``, at or above ``start``.

    Raises:
        InputError: there is no such folder.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise InputError(
        f"no dbt_project.yml in {here} or above it",
        "run two-tower inside a clone of the project, or set TWO_TOWER_PROJECT_DIR",
    )


def _env_file(project_dir: Path | None = None) -> Path | None:
    """Return the path of the project's ``.env``; None outside a project."""
    start = project_dir or Path(os.environ.get("TWO_TOWER_PROJECT_DIR", "."))
    try:
        return find_project_dir(start) / ".env"
    except InputError:
        return None


class Settings(ServeSettings, BaseSettings):
    """Everything that differs between machines.

    Each field is read from ``TWO_TOWER_<FIELD>`` (``DATABASE_URL`` for the database). Relative
    paths are relative to the project folder.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=_env_file(),
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,  # `NAME=` leaves the default
        extra="ignore",
        populate_by_name=True,
    )

    target: Target = Field(
        default="embedded", description="where the data lives: a profiles.yml target"
    )
    project_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=find_project_dir, description="the folder of dbt_project.yml"
    )
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("TWO_TOWER_DATABASE_URL", "DATABASE_URL"),
        description="target postgres: its DSN (otherwise the PG* variables)",
    )
    data_dir: Path = Field(
        default=Path("data/raw"), description="the folder of reviews/ and catalogue/"
    )
    review_files: str = Field(
        default=REVIEW_FILES,
        # One * and no other wildcard: what sample-data and import write is named by it too.
        pattern=r"^[^/*?\[\]]*\*[^/*?\[\]]*\.csv$",
        description="names of the files in reviews/: one *, and .csv at the end",
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
    engine: Engine = Field(
        default="local",
        description="where train and embed compute: local, or ray (docs/scaling.md)",
    )
    features_url: str | None = Field(
        default=None,
        description="a folder or fsspec URL of Parquet that train and embed read features from",
    )
    features_options: dict[str, object] = Field(
        default_factory=dict, description="its fsspec storage options, as JSON", repr=False
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
        description="thresholds of `status --check`: TWO_TOWER_MONITOR__FIELD",
    )
    log_format: LogFormat = Field(
        default="text", description="of the log on stderr: text for people, or JSON lines"
    )
    reindex_share: float = Field(
        default=0.1,
        gt=0,
        description="`refresh` rebuilds an index once this share of its rows is newer than it",
    )
    retry_seconds: float = Field(
        default=300,
        ge=0,
        description="how long a step is retried while a server does not answer",
    )

    def path(self, value: Path) -> Path:
        """Return ``value`` as an absolute path below the project folder."""
        return value if value.is_absolute() else self.project_dir / value

    @cached_property
    def reviews_glob(self) -> str:
        """The CSV glob of the raw reviews."""
        return str(self.path(self.data_dir) / "reviews" / self.review_files)

    @cached_property
    def catalogue_dir(self) -> Path:
        """The folder of the catalogue's CSV files."""
        return self.path(self.data_dir) / "catalogue"


class _FileSettings(Settings):
    """The settings of ``.env``, without the variables of this shell."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """See pydantic-settings."""
        return init_settings, dotenv_settings


def read_settings(project_dir: Path | None = None, **values: Any) -> Settings:
    """Return the settings of this process.

    Args:
        project_dir: the project; by default the one that this process is in.
        values: fields to set instead of reading them.

    Raises:
        InputError: a setting is wrong. The message names it, and never its value.
    """
    return _read(Settings, project_dir, values)


def read_file_settings(project_dir: Path) -> Settings:
    """Return the settings of ``.env`` and the defaults, without the environment.

    Raises:
        InputError: as :func:`read_settings`.
    """
    return _read(_FileSettings, project_dir, {})


def unknown_names(project_dir: Path) -> list[str]:
    """Return a warning for each ``TWO_TOWER_…`` that is set and is not a setting."""
    return env_file.unknown((*env_file.names(project_dir / ".env"), *os.environ), _known_names())


def _read(kind: type[Settings], project_dir: Path | None, values: dict[str, Any]) -> Settings:
    path = _env_file(project_dir)
    if path is not None:
        env_file.names(path)  # raises where pydantic would fail with a traceback, or silently
    if project_dir is not None:
        values = {**values, "project_dir": project_dir}
    try:
        return kind(_env_file=path, **values)  # type: ignore[call-arg]
    except ValidationError as error:
        found = error.errors(include_input=False)
        hint = _hint({str(problem["loc"][0]) for problem in found if problem["loc"]})
        raise InputError("\n".join(map(_problem, found)), hint) from None
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = field[1] if field else "…"
        raise InputError(f"setting TWO_TOWER_{name.upper()} is not JSON", _hint({name})) from None


class _LogFormat(BaseSettings):
    model_config = Settings.model_config
    log_format: LogFormat = "text"


def read_log_format() -> LogFormat:
    """Return the log format even if another setting is wrong: its error is logged in it."""
    try:
        return _LogFormat().log_format
    except (ValueError, OSError):  # a .env that cannot be read among them
        return "text"


def _hint(fields: set[str]) -> str:
    """Return where the settings that are wrong are described."""
    if fields & set(ServeSettings.model_fields):
        return "see docs/http.md and two-tower serve --help"
    return "see .env.example; two-tower train --help names those of training"


def _problem(problem: Any) -> str:
    """Return what is wrong with a setting, by the name of its variable."""
    name = PREFIX + "__".join(map(str, problem["loc"])).upper().removeprefix(PREFIX)
    if problem["type"] == "extra_forbidden":
        return f"setting {env_file.unknown([name], _known_names())[0]}"
    return f"setting {name}: {problem['msg']}"


def _known_names() -> set[str]:
    nested: dict[str, type[BaseModel]] = {"TRAIN": TrainConfig, "MONITOR": Thresholds}
    known = {f"{PREFIX}{n}__{f}".upper() for n, kind in nested.items() for f in kind.model_fields}
    known.add(f"{PREFIX}TRAIN__FRESHNESS")  # the former name of new_item_budget
    known |= {f"{PREFIX}REGISTRY_OPTIONS__", f"{PREFIX}FEATURES_OPTIONS__"}
    for name, field in Settings.model_fields.items():
        choices = field.validation_alias
        aliases = choices.choices if isinstance(choices, AliasChoices) else [PREFIX + name]
        known |= {alias.upper() for alias in aliases if isinstance(alias, str)}
    return known | set(TOLD_TO_DBT)
