"""profiles.yml, written from ``.env``, and the environment in which dbt runs.

dbt does not read ``.env``. So two-tower writes profiles.yml from profiles.yml.example, with the
values of ``.env`` as the defaults of its ``env_var()`` calls, and sets these variables for the dbt
that it starts.
"""

from __future__ import annotations

import os
import pwd
import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from two_tower.core.errors import InputError
from two_tower.core.settings import Settings, read_file_settings
from two_tower.database import embedded, sessions

# Parts of a DSN -> the variable in the profile's target postgres, and libpq's.
PROFILE_VARIABLES = {
    "host": ("TWO_TOWER_PGHOST", "PGHOST"),
    "port": ("TWO_TOWER_PGPORT", "PGPORT"),
    "user": ("TWO_TOWER_PGUSER", "PGUSER"),
    # dbt masks variables with this prefix in its logs.
    "password": ("DBT_ENV_SECRET_TWO_TOWER_PGPASSWORD", "PGPASSWORD"),
    "dbname": ("TWO_TOWER_PGDATABASE", "PGDATABASE"),
    "sslmode": ("TWO_TOWER_PGSSLMODE", "PGSSLMODE"),
}
# Parts of a DSN that a profile cannot hold; libpq, which dbt uses, reads them from the environment.
LIBPQ_VARIABLES = {
    "hostaddr": "PGHOSTADDR",
    "options": "PGOPTIONS",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}

HEADER = """\
# Written by two-tower from .env, which says where the data live: change .env.
# Once a line below is changed by hand, this file is left alone. Checksum: {checksum}
"""
# sha256 of the profiles.yml.example of 0.1.0, which was copied unchanged.
FORMER = "b4e2224c7aa97eca14192cde6b99fb7022af2c0c9456d1e4695210892772269f"
CALL = re.compile(r"env_var\('(\w+)', (.*?)\)(?= *(?:\}\}|\|))")


def variables(settings: Settings) -> dict[str, str]:
    """Return the variables with which the profile connects to this target's database.

    Raises:
        InputError: the target is Postgres, and no setting names the database.
    """
    found = {"TWO_TOWER_TARGET": settings.target, **_anywhere(settings)}
    if settings.target == "postgres":
        parts = _parts(settings)
        values = _defaults() | parts
        values["dbname"] = values.get("dbname") or values.get("user", "")
        for key, (name, libpq_name) in PROFILE_VARIABLES.items():
            # Also by libpq's name: a profile written by hand may read that.
            found[name] = found[libpq_name] = values.get(key, "")
        found |= {name: parts[key] for key, name in LIBPQ_VARIABLES.items() if key in parts}
    return found


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which dbt connects to this target; starts the embedded server.

    Raises:
        InputError: see :func:`variables`.
    """
    if settings.target == "duckdb":
        settings.path(settings.duckdb_path).parent.mkdir(parents=True, exist_ok=True)
    if settings.target == "embedded":
        embedded.start(settings)
    encoding = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    return {
        **os.environ,
        **variables(settings),
        **sessions.environment(),
        "TWO_TOWER_STARTED_DBT": "1",
        "TWO_TOWER_PROJECT_DIR": str(settings.project_dir),
        "TWO_TOWER_DATA_DIR": str(settings.path(settings.data_dir)),
        "TWO_TOWER_REVIEW_FILES": settings.review_files,
        "DBT_PROJECT_DIR": str(settings.project_dir),
        "DBT_PROFILES_DIR": str(settings.project_dir),
        "DO_NOT_TRACK": "1",
        # Replaces what a terminal cannot show.
        "PYTHONIOENCODING": f"{encoding}:replace",
    }


def written(project_dir: Path) -> str:
    """Return profiles.yml as two-tower writes it: the example with the values of ``.env``.

    Raises:
        InputError: ``.env`` cannot be read, or there is no example.
    """
    settings = read_file_settings(project_dir.resolve())
    values = {"TWO_TOWER_TARGET": settings.target, **_anywhere(settings)}
    defaults = {name: _literal(value) for name, value in values.items()} | _postgres(settings)

    def with_default(call: re.Match[str]) -> str:
        return f"env_var('{call[1]}', {defaults.get(call[1], call[2])})"

    body = CALL.sub(with_default, _example(project_dir))
    return HEADER.format(checksum=_checksum(body)) + body


def is_ours(text: str, project_dir: Path) -> bool:
    """Return whether a profiles.yml is unchanged since two-tower wrote it or copied the example."""
    header, body = "".join(text.splitlines(True)[:2]), "".join(text.splitlines(True)[2:])
    if header == HEADER.format(checksum=_checksum(body)):
        return True
    return sha256(text.encode()).hexdigest() == FORMER or text == _example(project_dir)


def keep_in_step(project_dir: Path) -> None:
    """Rewrite profiles.yml if two-tower wrote it and ``.env`` has changed since."""
    path = project_dir / "profiles.yml"
    with suppress(InputError, OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
        if is_ours(text, project_dir) and text != (new := written(project_dir)):
            write(project_dir, new)


def what_to_do(path: Path, project_dir: Path) -> str:
    """Return what to do about a profiles.yml that names another database than the settings."""
    if path.parent != project_dir.resolve():
        return "It is not the project's own: run two-tower init, and dbt in the project's folder."
    text = path.read_text(encoding="utf-8", errors="replace")
    if not is_ours(text, project_dir):
        return "It was written by hand: change it, or move it away and run two-tower init."
    if text != written(project_dir):
        return ".env has changed since it was written: run two-tower init, then this again."
    return (
        "It says what .env says, and this shell's variables say otherwise:"
        " run two-tower dbt -- COMMAND, which obeys them."
    )


def write(project_dir: Path, text: str) -> None:
    """Write profiles.yml atomically, readable by its owner only: it may hold a password.

    Raises:
        InputError: it cannot be written there.
    """
    path = (project_dir / "profiles.yml").resolve()
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        partial.touch(mode=0o600, exist_ok=False)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", "see its permissions") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _example(project_dir: Path) -> str:
    path = project_dir / "profiles.yml.example"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "git checkout profiles.yml.example") from None


def _anywhere(settings: Settings) -> dict[str, str]:
    """Return the profile's variables that do not depend on the target."""
    return {
        "TWO_TOWER_THREADS": str(settings.threads),
        "TWO_TOWER_SCHEMA": settings.schema_name,
        "TWO_TOWER_DUCKDB_PATH": str(settings.path(settings.duckdb_path)),
        "TWO_TOWER_MEMORY_LIMIT": settings.memory_limit,
        "TWO_TOWER_SOCKET_DIR": str(embedded.socket_dir(settings)),
    }


def _postgres(settings: Settings) -> dict[str, str]:
    """Return the defaults of the target postgres: DATABASE_URL's parts, else PG* at run time."""
    try:
        parts = _parts(settings) if settings.database_url else {}
    except InputError:
        return {}  # an error where the target is used
    if not parts:
        return {}
    user = parts.get("user") or _system_user()
    bare = {"host": "", "port": "5432", "user": user, "password": "", "sslmode": "prefer"}
    bare["dbname"] = user
    return {
        name: _literal(parts[key])
        if key in parts
        else f"env_var('{libpq_name}', {_literal(bare[key])})"
        for key, (name, libpq_name) in PROFILE_VARIABLES.items()
    }


def _parts(settings: Settings) -> dict[str, str]:
    """Return the decoded parts of the DSN, those of its service included.

    Raises:
        InputError: it cannot be read, or it has several ports, of which dbt takes one.
    """
    from two_tower.database.dsn import postgres_dsn

    dsn = postgres_dsn(settings)
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    service = parts.pop("service", None)
    if service is not None:
        parts = _defaults(service) | parts
    if "hostaddr" in parts:
        parts.setdefault("host", parts["hostaddr"])
    ports = set(parts.get("port", "").split(","))
    if len(ports) > 1:
        raise InputError(
            "DATABASE_URL names hosts with several ports, and dbt takes one", "name one host"
        )
    return parts | ({"port": ports.pop()} if "port" in parts else {})


def _defaults(service: str | None = None) -> dict[str, str]:
    """Return libpq's values for what a DSN does not name: of the service, PG*, or its defaults."""
    before = os.environ.get("PGSERVICE")
    if service is not None:
        os.environ["PGSERVICE"] = service  # psycopg resolves only this one
    try:
        options = pq.Conninfo.get_defaults()
    finally:
        if service is not None:
            del os.environ["PGSERVICE"]
        if before is not None:
            os.environ["PGSERVICE"] = before
    return {option.keyword.decode(): option.val.decode() for option in options if option.val}


def _system_user() -> str:
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return ""


def _literal(value: str) -> str:
    """Return a Jinja string literal, escaped for a double-quoted YAML string as well."""
    plain = (c if c.isalnum() or c in "/._-" else f"\\\\U{ord(c):08x}" for c in value)
    return f"'{''.join(plain)}'"


def _checksum(body: str) -> str:
    return sha256(body.encode()).hexdigest()[:16]
