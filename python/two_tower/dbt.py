"""dbt as a subprocess: in-process it would hold DuckDB open and keep its memory."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from two_tower import embedded, warehouse
from two_tower.errors import BuildError, GateError, InputError
from two_tower.settings import Settings

# The profile reads the first five; libpq, which dbt uses, reads them all.
PG_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "hostaddr": "PGHOSTADDR",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which dbt finds this target's database."""
    env = dict(os.environ)
    env["TWO_TOWER_TARGET"] = settings.target
    env["TWO_TOWER_THREADS"] = str(settings.threads)
    env["TWO_TOWER_DUCKDB_PATH"] = str(settings.path(settings.duckdb_path))
    env["TWO_TOWER_SCHEMA"] = settings.schema_name
    env["TWO_TOWER_MEMORY_LIMIT"] = settings.memory_limit
    env["TWO_TOWER_PROJECT_DIR"] = str(settings.project_dir)
    env["TWO_TOWER_DATA_DIR"] = str(settings.path(settings.data_dir))
    env["DO_NOT_TRACK"] = "1"
    if settings.target == "duckdb":
        settings.path(settings.duckdb_path).parent.mkdir(parents=True, exist_ok=True)
    if settings.target == "embedded":
        warehouse.dsn(settings)  # starts the server
        env["TWO_TOWER_POSTGRES_DIR"] = str(embedded.data_dir(settings))
    if settings.target == "postgres":
        for key, value in conninfo_to_dict(warehouse.dsn(settings)).items():
            if key in PG_VARIABLES and value is not None:
                env[PG_VARIABLES[key]] = str(value)
    return env


@dataclass(frozen=True)
class Built:
    """What a dbt command did: models built, tests passed, tests that only warn."""

    models: int
    tests_passed: int
    warnings: int


def run(settings: Settings, *arguments: str) -> Built:
    """Run ``dbt ARGUMENTS`` in the project; what it warns of and what fails is on stderr.

    Raises:
        InputError: there is no profiles.yml.
        GateError: a test refused the rows.
        BuildError: dbt could not build a model, or not begin.
    """
    if not (settings.project_dir / "profiles.yml").exists():
        raise InputError(
            f"{settings.project_dir / 'profiles.yml'} does not exist", "run two-tower init"
        )
    beside = Path(sys.executable).parent / "dbt"
    program = str(beside) if beside.exists() else shutil.which("dbt") or "dbt"
    command = [program, "--quiet", *arguments, "--project-dir", str(settings.project_dir)]
    command += ["--profiles-dir", str(settings.project_dir)]
    env = environment(settings)
    started = time.time()
    done = subprocess.run(
        command, env=env, cwd=settings.project_dir, stdout=sys.stderr, check=False
    )
    statuses = _statuses(settings.project_dir / _target_path(arguments, env), started)
    if done.returncode != 0:
        refused = ("test", "fail") in statuses and not any(
            status == "error" for _, status in statuses
        )
        kind = GateError if refused else BuildError
        raise kind(
            f"`dbt {' '.join(arguments)}` failed (exit code {done.returncode})",
            "its output above names the model or test; logs/dbt.log has the whole story",
        )
    return _built(statuses)


def _target_path(arguments: tuple[str, ...], env: dict[str, str]) -> str:
    if "--target-path" in arguments:
        return arguments[arguments.index("--target-path") + 1]
    return env.get("DBT_TARGET_PATH", "target")


def _statuses(target_path: Path, since: float) -> list[tuple[str, str]]:
    """Return kind and status of each node of a dbt command that began then."""
    path = target_path / "run_results.json"
    if not path.exists() or path.stat().st_mtime < since:
        return []
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return [(row["unique_id"].split(".")[0], row["status"]) for row in results]


def _built(kinds: list[tuple[str, str]]) -> Built:
    return Built(
        models=kinds.count(("model", "success")),
        tests_passed=kinds.count(("test", "pass")) + kinds.count(("unit_test", "pass")),
        warnings=kinds.count(("test", "warn")),
    )
