"""Where dbt finds the project's data: profiles.yml, written from ``.env``, and dbt's environment.

dbt reads no ``.env``. So profiles.yml, made of profiles.yml.example, has what ``.env`` says as the
defaults of its ``env_var()``, and a dbt that two-tower starts gets the settings as those variables.
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

# Variables of the profile's target postgres, with libpq's own names for them.
PROFILE_VARIABLES = {
    "host": ("TWO_TOWER_PGHOST", "PGHOST"),
    "port": ("TWO_TOWER_PGPORT", "PGPORT"),
    "user": ("TWO_TOWER_PGUSER", "PGUSER"),
    # dbt keeps what is named so out of its logs.
    "password": ("DBT_ENV_SECRET_TWO_TOWER_PGPASSWORD", "PGPASSWORD"),
    "dbname": ("TWO_TOWER_PGDATABASE", "PGDATABASE"),
    "sslmode": ("TWO_TOWER_PGSSLMODE", "PGSSLMODE"),
}
# What a profile has no place for; libpq, which dbt uses, reads it from the environment.
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
# The profiles.yml.example of 0.1.0, which was copied as it stood.
FORMER = "b4e2224c7aa97eca14192cde6b99fb7022af2c0c9456d1e4695210892772269f"
CALL = re.compile(r"env_var\('(\w+)', (.*?)\)(?= *(?:\}\}|\|))")


def variables(settings: Settings) -> dict[str, str]:
    """Return the variables by which the profile leads to this target's database.

    Raises:
        InputError: the target is Postgres, and the settings do not say which.
    """
    found = {"TWO_TOWER_TARGET": settings.target, **_anywhere(settings)}
    if settings.target == "postgres":
        parts = _parts(settings)
        values = _defaults() | parts
        values["dbname"] = values.get("dbname") or values.get("user", "")
        for key, (name, libpq_name) in PROFILE_VARIABLES.items():
            # Also by libpq's name, for a profile of one's own that reads it.
            found[name] = found[libpq_name] = values.get(key, "")
        found |= {name: parts[key] for key, name in LIBPQ_VARIABLES.items() if key in parts}
    return found


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which dbt finds this target's database; embedded, it is started.

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
        # What a terminal cannot show is replaced.
        "PYTHONIOENCODING": f"{encoding}:replace",
    }


def written(project_dir: Path) -> str:
    """Return profiles.yml as two-tower writes it: the example, with what ``.env`` says.

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
    """Return whether a profiles.yml stands as two-tower or a copy of the example made it."""
    header, body = "".join(text.splitlines(True)[:2]), "".join(text.splitlines(True)[2:])
    if header == HEADER.format(checksum=_checksum(body)):
        return True
    return sha256(text.encode()).hexdigest() == FORMER or text == _example(project_dir)


def keep_in_step(project_dir: Path) -> None:
    """Write profiles.yml anew where two-tower wrote it and ``.env`` has changed since."""
    path = project_dir / "profiles.yml"
    with suppress(InputError, OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
        if is_ours(text, project_dir) and text != (new := written(project_dir)):
            write(project_dir, new)


def what_to_do(path: Path, project_dir: Path) -> str:
    """Return what to do about a profiles.yml that leads elsewhere than the settings."""
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
    """Write profiles.yml in one step, for the eyes of its owner: it may hold a password.

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
    """Return what the profile takes of the settings whatever the target is."""
    return {
        "TWO_TOWER_THREADS": str(settings.threads),
        "TWO_TOWER_SCHEMA": settings.schema_name,
        "TWO_TOWER_DUCKDB_PATH": str(settings.path(settings.duckdb_path)),
        "TWO_TOWER_MEMORY_LIMIT": settings.memory_limit,
        "TWO_TOWER_SOCKET_DIR": str(embedded.socket_dir(settings)),
    }


def _postgres(settings: Settings) -> dict[str, str]:
    """Return the defaults of the target postgres: DATABASE_URL's parts, then PG* as it runs."""
    try:
        parts = _parts(settings) if settings.database_url else {}
    except InputError:
        return {}  # whoever uses the target is told
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
    """Return what the DSN names, decoded, what its service stands for included.

    Raises:
        InputError: it cannot be read, or it has several ports, of which dbt takes one.
    """
    from two_tower.database.warehouse import postgres_dsn  # loads slowly

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
    """Return what libpq takes for what a DSN does not name: of a service, PG*, its own defaults."""
    before = os.environ.get("PGSERVICE")
    if service is not None:
        os.environ["PGSERVICE"] = service  # psycopg resolves none but this one
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
    """Return a Jinja string between the double quotes of YAML, which reads backslashes too."""
    plain = (c if c.isalnum() or c in "/._-" else f"\\\\U{ord(c):08x}" for c in value)
    return f"'{''.join(plain)}'"


def _checksum(body: str) -> str:
    return sha256(body.encode()).hexdigest()[:16]
