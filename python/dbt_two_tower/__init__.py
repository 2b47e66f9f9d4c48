"""A dbt plugin that keeps a dbt typed by hand on the project's database.

dbt imports every package named ``dbt_*``. Before dbt connects, the plugin compares the profile with
the settings; where they name different databases, dbt ends with a message that says what to type.
It also does what a profile cannot: start the embedded server, and pass on what DATABASE_URL says
beyond host, user and password.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from dbt.plugins.manager import dbtPlugin
from dbt_common.context import get_invocation_context

from two_tower.core import output

# Commands that do not connect; ``debug`` connects, and loads no plugins.
OFFLINE = {"parse", "list", "ls", "deps", "clean", "init", "serve", "debug"}
# For each target: dbt's name of a part of the address -> the variable that holds its right value.
PLACES = {
    "embedded": {"host": "TWO_TOWER_SOCKET_DIR"},
    "postgres": {
        "host": "TWO_TOWER_PGHOST",
        "port": "TWO_TOWER_PGPORT",
        "user": "TWO_TOWER_PGUSER",
        "password": "DBT_ENV_SECRET_TWO_TOWER_PGPASSWORD",
        "database": "TWO_TOWER_PGDATABASE",
        "sslmode": "TWO_TOWER_PGSSLMODE",
    },
    "duckdb": {"path": "TWO_TOWER_DUCKDB_PATH"},
}

# Flags with which a build is not of everything, or not of the tables that the next one finds.
PARTS = (
    *("SELECT", "EXCLUDE", "SELECTOR", "RESOURCE_TYPES", "EMPTY", "SAMPLE", "STATE", "DEFER"),
    *("DEFER_STATE", "EVENT_TIME_START", "EVENT_TIME_END", "STORE_FAILURES", "WARN_ERROR"),
)
# What the hooks of macros/whole_build are told.
NOTED = "TWO_TOWER_BUILD"


class ProjectDatabase(dbtPlugin):
    """See the module."""

    def initialize(self) -> None:
        """Compare the profile with the settings.

        Raises:
            TwoTowerError: they differ, or a setting is wrong; dbt shows the message alone.
        """
        context = click.get_current_context(silent=True)
        if self.project_name != "two_tower" or context is None:
            return
        flags, profile = context.obj["flags"], context.obj["profile"]
        if flags.WHICH in OFFLINE:
            return
        output.replace_what_cannot_be_shown()
        if "TWO_TOWER_STARTED_DBT" in os.environ:
            expected: Mapping[str, str] = os.environ
        else:
            expected = _settings(flags, profile)
        wrong = _differences(profile, expected)
        if wrong:
            _refuse(flags, f"for target {profile.target_name} it has {'; '.join(wrong)}")
        _note(None)
        if flags.WHICH == "build" and profile.target_name in PLACES and _is_bare(flags):
            _leave_what_is_built(flags, profile.target_name)


def _is_bare(flags: Any) -> bool:
    """Whether a build is of everything; its unit tests alone may be left out."""
    left_out = {str(kind) for kind in getattr(flags, "EXCLUDE_RESOURCE_TYPES", None) or ()}
    return left_out <= {"unit_test"} and not any(getattr(flags, name, None) for name in PARTS)


def _note(noted: dict[str, Any] | None) -> None:
    """Put what the hooks are told where their `env_var` finds it: dbt has read the environment."""
    environment: Any = get_invocation_context().env
    environment[NOTED] = json.dumps(noted)


def _leave_what_is_built(flags: Any, target: str) -> None:
    """End dbt where a build would repeat the former one; leave out unit tests that have passed."""
    from two_tower.core.settings import read_settings
    from two_tower.operations import former_build

    settings = read_settings(Path(flags.PROJECT_DIR).resolve()).model_copy(
        update={"target": target}
    )
    with_unit_tests = not flags.EXCLUDE_RESOURCE_TYPES
    found = former_build.look(settings, flags.VARS, with_unit_tests=with_unit_tests)
    noted = {"key": found.key, "sql": found.sql, "has_unit_tests": found.has_unit_tests}
    _note(noted)
    if flags.FULL_REFRESH:
        return
    if found.repeats is not None and Path(sys.argv[0]).stem == "dbt":
        print(former_build.sentence(found.repeats), flush=True)
        os._exit(0)  # dbt takes every exception for an error
    if with_unit_tests and found.has_unit_tests:
        if not flags.QUIET:
            print("The unit tests are left out: they have passed on this SQL.", flush=True)
        for name in ("EXCLUDE_RESOURCE_TYPES", "exclude_resource_types"):  # dbt reads either
            object.__setattr__(flags, name, ("unit_test",))


def _settings(flags: Any, profile: Any) -> Mapping[str, str]:
    """Return the environment in which two-tower would run this dbt; starts the embedded server."""
    from two_tower.core.errors import TwoTowerError
    from two_tower.core.settings import read_settings, unknown_names
    from two_tower.database import dbt_profile, sessions

    project_dir = Path(flags.PROJECT_DIR).resolve()
    try:
        settings = read_settings(project_dir)
        for sentence in unknown_names(project_dir):
            print(f"warning: {sentence}", file=sys.stderr)
        if flags.TARGET is None and profile.target_name != settings.target:
            _refuse(flags, f"its target is {profile.target_name}, not {settings.target}")
        if profile.target_name not in PLACES:
            return {}  # somebody's own, asked for by name
        settings = settings.model_copy(update={"target": profile.target_name})
        environment = dbt_profile.environment(settings)
    except TwoTowerError as error:
        raise type(error)(f"{error}\n{error.hint}") from error
    for name in (*dbt_profile.LIBPQ_VARIABLES.values(), *sessions.environment()):
        if name in environment:
            os.environ[name] = environment[name]
    return environment


def _differences(profile: Any, expected: Mapping[str, str]) -> list[str]:
    """Return the parts of the address that differ, the password's value left out."""
    found = []
    for part, name in PLACES.get(profile.target_name, {}).items():
        has = str(getattr(profile.credentials, part, None) or "")
        if part == "sslmode":
            has = has or "prefer"
        if part == "path":
            has = str(Path(has).resolve())
        if name in expected and has != expected[name]:
            shown = "" if part == "password" else f" {has or '-'}, not {expected[name] or '-'}"
            found.append(f"another {part}" if not shown else part + shown)
    schema = os.environ.get("TWO_TOWER_SCHEMA", profile.credentials.schema)
    if schema != expected.get("TWO_TOWER_SCHEMA", schema):
        found.append(f"schema {schema}, not {expected['TWO_TOWER_SCHEMA']}")
    return found


def _refuse(flags: Any, difference: str) -> None:
    from two_tower.core.errors import InputError
    from two_tower.database import dbt_profile

    project_dir = Path(flags.PROJECT_DIR).resolve()
    path = Path(flags.PROFILES_DIR).resolve() / "profiles.yml"
    raise InputError(
        f"{path} does not lead to the project's database: {difference}.\n"
        + dbt_profile.what_to_do(path, project_dir)
    )


plugins = [ProjectDatabase]
