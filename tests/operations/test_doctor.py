"""Servers as they should not be, real ones: what is wrong is said before anything is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import psycopg
import pytest

import broken_servers as broken
from artifacts.test_registry import s3_endpoint  # noqa: F401
from broken_servers import (
    CREATE,
    EXTENSIONS,
    PUBLIC,
    READ_ONLY,
    TEMPORARY,
    of_another,
)
from conftest import PROJECT_DIR, MakeDataDir, folders, make_settings
from pgbouncer import needs_pgbouncer
from postgres_server import PASSWORD, ROLE, PostgresServer, free_port
from two_tower.core.errors import ExitCode
from two_tower.interfaces.cli import main
from two_tower.operations import database_checks, doctor
from two_tower.operations.pipeline import STEPS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("doctor")]

PROGRAM = Path(sys.executable).parent / "two-tower"
Broken = Callable[[PostgresServer], Any]


# What is broken → the checks that fail, and a part of what is to be typed for each.
BROKEN: dict[Broken, dict[str, str]] = {
    broken.pgvector_of_2024: {"pgvector": "install pgvector 0.8"},
    broken.pgvector_not_installed: {"pgvector": "install pgvector 0.8"},
    broken.pgvector_not_created: {"pgvector": "in database not_created: create extension vector"},
    broken.no_usage_of_pgvector: {"pgvector": "grant usage on schema extensions to app"},
    broken.no_create_on_the_database: {"privileges": "grant create on database no_create to app"},
    broken.no_create_on_public: {"privileges": "grant usage, create on schema public to app"},
    broken.no_temporary_tables: {"privileges": "grant temporary on database no_temporary to app"},
    broken.read_only_role: {"writable": f"alter role app in database read_only reset {READ_ONLY}"},
    broken.read_only_database: {"writable": f"alter database read_only_too reset {READ_ONLY}"},
    broken.standby: {"writable": "name the primary in DATABASE_URL"},
    broken.sql_ascii: {"encoding": "encoding 'UTF8' template template0"},
    broken.latin1: {"encoding": "encoding 'UTF8' template template0"},
    broken.transaction_pooler: {"session": "5432 of the pooler, not 6543"},
    broken.small_pool: {"database": "raise its pool size"},
    broken.few_connections: {"connections": "alter database few connection limit -1"},
    broken.tables_of_another: {"owners": "alter table raw.reviews owner to app"},
    broken.wrong_password: {"database": "is DATABASE_URL right"},
    broken.no_postgres_at_all: {"database": "is DATABASE_URL right"},
    broken.server_down: {"database": "is it running"},
    broken.several_at_once: {
        "pgvector": "grant usage on schema extensions to app",
        "privileges": "grant create on database several to app; grant temporary",
    },
}
EACH = [
    pytest.param(
        break_it,
        wrong,
        marks=needs_pgbouncer if break_it in (broken.transaction_pooler, broken.small_pool) else (),
        id=break_it.__name__,
    )
    for break_it, wrong in BROKEN.items()
]


class Shell:
    """Runs ``two-tower`` on a data folder, in this process, or started as a user starts it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, out: Any) -> None:
        self.folder, self.patch, self.out = folder, patch, out
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TWO_TOWER_", "PREFECT"))}
        self.environment = kept | {
            "TWO_TOWER_TARGET": "postgres",
            "TWO_TOWER_PROJECT_DIR": str(PROJECT_DIR),
            "TWO_TOWER_DATA_DIR": str(folder / "raw"),
            "TWO_TOWER_RUNS_DIR": str(folder / "runs"),
            "TWO_TOWER_REGISTRY_URL": str(folder / "artifacts"),
            "TWO_TOWER_RETRY_SECONDS": "0",
        }

    def __call__(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        with self.patch.context() as patch:
            for name, value in {**self.environment, **settings}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["two-tower", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        return self._looked_at(int(ended.value.code or 0), *self.out.readouterr())

    def started(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [PROGRAM, *arguments],
            env=self.environment | settings,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return self._looked_at(done.returncode, done.stdout, done.stderr)

    def _looked_at(self, code: int, out: str, err: str) -> tuple[int, str, str]:
        assert "Traceback" not in err, err
        assert PASSWORD not in out + err
        return code, out, err

    def made(self) -> list[str]:
        """What lies beside the data."""
        return sorted(path.name for path in self.folder.iterdir() if path.name != "raw")


@pytest.fixture
def shell(
    tmp_path: Path,
    make_data_dir: MakeDataDir,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    make_data_dir()
    return Shell(tmp_path, monkeypatch, capsys)


def contents(url: str) -> list[Any]:
    """All that is in a database, and the locks of ours that somebody holds there."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute(
            "select n.nspname, c.relname from pg_class as c"
            " join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
            " union all select nspname, '' from pg_namespace where nspname !~ '^pg_'"
            " union all select extname, extversion from pg_extension"
            " union all select 'lock', objid::text from pg_locks where locktype = 'advisory'"
            " order by 1, 2"
        ).fetchall()


def contents_or_nothing(url: str) -> list[Any]:
    try:
        return contents(url)
    except psycopg.OperationalError:
        return []


@pytest.mark.parametrize(("break_it", "wrong"), EACH)
def test_what_is_wrong_ends_every_command_before_it_writes(
    break_it: Broken, wrong: dict[str, str], postgres_server: PostgresServer, shell: Shell
) -> None:
    passes = break_it in (broken.server_down, broken.small_pool)
    code = ExitCode.UNAVAILABLE if passes else ExitCode.BAD_INPUT
    with break_it(postgres_server) as url:
        before = contents_or_nothing(url)

        looked, out, _ = shell("doctor", "--json", DATABASE_URL=url)
        commands = [
            shell.started("load", "--json", DATABASE_URL=url),
            shell("run", "--json", DATABASE_URL=url),
            shell("forget-user", "somebody", "--json", DATABASE_URL=url),
        ]

        found = {check["name"]: check for check in json.loads(out) if check["state"] == "failed"}
        assert found.keys() == wrong.keys()
        assert looked == code
        for returned, printed, err in commands:
            assert returned == code, err
            assert json.loads(printed)["error"]["exit_code"] == code
            for name, fix in wrong.items():
                assert fix in found[name]["fix"]
                assert found[name]["found"].splitlines()[0] in err
                assert fix in err
        assert contents_or_nothing(url) == before
        assert shell.made() == []


@pytest.fixture(scope="module")
def healthy(postgres_server: PostgresServer) -> str:
    return postgres_server.prepare("healthy")


def failures(out: str) -> dict[str, str]:
    return {row["name"]: row["found"] for row in json.loads(out) if row["state"] == "failed"}


def test_a_healthy_project_passes_every_check_in_well_under_half_a_second(
    shell: Shell, healthy: str
) -> None:
    code, out, _ = shell("doctor", "--json", DATABASE_URL=healthy)
    assert (code, failures(out)) == (ExitCode.OK, {})

    settings = make_settings("postgres", database_url=healthy, **folders(shell.folder))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        doctor.preflight(settings, [step.name for step in STEPS])
        seconds.append(time.perf_counter() - started)

    assert min(seconds) < 0.25
    assert shell.made() == []


def test_a_role_whose_schemas_were_made_for_it_need_not_create_any(
    shell: Shell, postgres_server: PostgresServer
) -> None:
    url = of_another(postgres_server, "made_for_it", TEMPORARY, PUBLIC, EXTENSIONS)
    for schema in ("raw", "two_tower"):
        postgres_server.as_superuser(
            f"create schema {schema} authorization {ROLE}", database="made_for_it"
        )

    code, out, err = shell.started("load", "--json", DATABASE_URL=url)

    assert code == ExitCode.OK, err
    assert json.loads(out)["rows_loaded"] == 3


def test_a_registry_that_cannot_be_written_is_found_before_the_training(
    shell: Shell,
    healthy: str,
    s3_endpoint: str,  # noqa: F811
) -> None:
    (shell.folder / "file").write_text("in the way")  # to which permissions matter, root's too
    options = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": s3_endpoint}}
    bad = {
        "TWO_TOWER_REGISTRY_URL": [str(shell.folder / "file/below"), "s3://no-such-bucket/x"],
        "TWO_TOWER_RUNS_DIR": [str(shell.folder / "file")],
    }
    before = contents(healthy)
    for setting, values in bad.items():
        for value in values:
            env = {"DATABASE_URL": healthy, setting: value}
            env["TWO_TOWER_REGISTRY_OPTIONS"] = json.dumps(options) if "s3" in value else "{}"

            looked, out, _ = shell("doctor", "--json", **env)
            code, printed, err = shell("run", "--json", **env)

            check = "runs" if "RUNS" in setting else "registry"
            assert failures(out).keys() == {check}
            assert looked == code == ExitCode.BAD_INPUT
            assert failures(out)[check].splitlines()[0] in err
            assert setting in err
            assert json.loads(printed)["error"]["exit_code"] == code
    assert contents(healthy) == before
    assert shell("load", "--json", **env)[0] == ExitCode.OK  # it needs neither


def test_a_bucket_is_left_as_it_was(shell: Shell, healthy: str, s3_endpoint: str) -> None:  # noqa: F811
    options = {
        "key": "k",
        "secret": "s",
        "client_kwargs": {"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    }
    fs, _ = fsspec.core.url_to_fs("s3://looked-at", **options)
    fs.call_s3("create_bucket", Bucket="looked-at")

    code, out, _ = shell(
        "doctor",
        "--json",
        DATABASE_URL=healthy,
        TWO_TOWER_REGISTRY_URL="s3://looked-at/two-tower",
        TWO_TOWER_REGISTRY_OPTIONS=json.dumps(options),
    )

    assert (code, failures(out)) == (ExitCode.OK, {})
    fs.invalidate_cache()
    assert fs.find("s3://looked-at") == []


def test_the_apps_own_tables_have_to_be_readable_and_whole(
    shell: Shell, postgres_server: PostgresServer, project_of_app: Path
) -> None:
    url = of_another(postgres_server, "of_an_app", CREATE, TEMPORARY, PUBLIC, EXTENSIONS)
    tables = ("videos", "tags", "video_tags", "performers", "video_performers")

    def looked_at() -> dict[str, Any]:
        settings = {"DATABASE_URL": url, "TWO_TOWER_PROJECT_DIR": str(project_of_app)}
        out = shell("doctor", "--json", **settings)[1]
        return next(row for row in json.loads(out) if row["name"] == "catalogue")

    def type_in(fix: str) -> None:
        postgres_server.as_superuser(*fix.split("; "), database="of_an_app")

    assert "there is no table app.videos" in looked_at()["found"]
    postgres_server.as_superuser("create schema app", database="of_an_app")
    postgres_server.as_superuser(
        *(f"create table app.{name} (id text)" for name in tables), database="of_an_app"
    )

    assert "may not read app.videos" in looked_at()["found"]
    type_in(looked_at()["fix"])
    assert looked_at()["state"] == "ok"

    postgres_server.as_superuser(
        "alter table app.videos enable row level security", database="of_an_app"
    )
    assert looked_at()["state"] == "failed"
    assert "shows app no rows of app.videos" in looked_at()["found"]
    postgres_server.as_superuser(
        "create policy part on app.videos for select using (id <> 'hidden')", database="of_an_app"
    )
    assert looked_at()["state"] == "warning"
    type_in(looked_at()["fix"])
    assert looked_at()["state"] == "ok"


@pytest.fixture
def project_of_app(tmp_path: Path) -> Path:
    """The project with the var catalogue_schema of an app."""
    folder = tmp_path / "project"
    for name in ("models", "macros", "sql"):
        shutil.copytree(PROJECT_DIR / name, folder / name)
    shutil.copyfile(PROJECT_DIR / "profiles.yml.example", folder / "profiles.yml")
    text = (PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8")
    changed = text.replace("catalogue_schema: raw", "catalogue_schema: app")
    assert changed != text
    (folder / "dbt_project.yml").write_text(changed, encoding="utf-8")
    return folder


def test_a_url_of_the_shell_that_stands_before_the_projects_own_is_said(
    shell: Shell, healthy: str, project_of_app: Path
) -> None:
    (project_of_app / ".env").write_text(f"DATABASE_URL={healthy}\n", encoding="utf-8")

    def warnings(url: str) -> list[str]:
        settings = {"DATABASE_URL": url, "TWO_TOWER_PROJECT_DIR": str(project_of_app)}
        rows = json.loads(shell("doctor", "--json", **settings)[1])
        return [row["fix"] for row in rows if row["name"] == "database url"]

    assert warnings(f"{healthy}?connect_timeout=9") == ["unset DATABASE_URL, if .env is meant"]
    assert warnings(healthy) == []


def test_what_others_have_beside_ours_is_theirs(
    shell: Shell, postgres_server: PostgresServer
) -> None:
    url = postgres_server.prepare("beside_others")
    postgres_server.as_superuser(
        "create table public.videos (id text)",
        f"create schema two_tower authorization {ROLE}",
        "create view two_tower.notes_of_an_analyst as select 1 as one",
        database="beside_others",
    )

    code, out, _ = shell("doctor", "--json", DATABASE_URL=url)

    assert (code, failures(out)) == (ExitCode.OK, {})


def test_what_is_to_be_typed_fixes_what_is_wrong(
    shell: Shell, postgres_server: PostgresServer
) -> None:
    url = of_another(postgres_server, "to_be_mended")
    postgres_server.as_superuser(
        "create schema raw",
        "create table raw.tags (id text)",
        "create function public.similar_videos(p_video_id uuid, p_limit int = 20) returns int"
        " language sql return 1",
        database="to_be_mended",
    )
    out = shell("doctor", "--json", DATABASE_URL=url)[1]
    assert failures(out).keys() == {"pgvector", "privileges", "owners"}
    assert "alter table raw.tags" in out
    assert "alter function public.similar_videos" in out

    for row in json.loads(out):
        if row["state"] == "failed":
            postgres_server.as_superuser(*row["fix"].split("; "), database="to_be_mended")

    code, out, _ = shell("doctor", "--json", DATABASE_URL=url)
    assert (code, failures(out)) == (ExitCode.OK, {})


def test_people_get_a_table_and_below_it_what_to_type_in_one_piece(
    shell: Shell, postgres_server: PostgresServer
) -> None:
    url = of_another(postgres_server, "for_people", PUBLIC)

    code, out, _ = shell("doctor", DATABASE_URL=url)

    assert code == ExitCode.BAD_INPUT
    line = "grant create on database for_people to app; grant temporary on database for_people"
    assert any(f"privileges → {line}" in shown for shown in out.splitlines())


@pytest.mark.parametrize("target", ["duckdb", "embedded"])
def test_looking_makes_no_database(shell: Shell, target: str) -> None:
    places = {
        "TWO_TOWER_TARGET": target,
        "TWO_TOWER_POSTGRES_DIR": str(shell.folder / "pg"),
        "TWO_TOWER_DUCKDB_PATH": str(shell.folder / "warehouse.duckdb"),
    }

    code, out, _ = shell("doctor", "--json", **places)

    assert (code, failures(out)) == (ExitCode.OK, {})
    assert "not made yet" in out
    assert shell.made() == []


def test_a_profile_that_is_missing_or_of_an_older_version_is_said(
    shell: Shell, healthy: str, project_of_app: Path
) -> None:
    settings = {"DATABASE_URL": healthy, "TWO_TOWER_PROJECT_DIR": str(project_of_app)}
    profile = project_of_app / "profiles.yml"
    profile.write_text(profile.read_text().replace("statement_timeout", "another_timeout"))
    out = shell("doctor", "--json", **settings)[1]
    assert next(row["state"] for row in json.loads(out) if row["name"] == "profile") == "warning"

    profile.unlink()
    assert "two-tower init" in shell("load", "--json", **settings)[2]


def test_prefect_is_told_from_what_is_none(shell: Shell, healthy: str) -> None:
    def looked_at(url: str) -> tuple[int, dict[str, Any]]:
        settings = {"DATABASE_URL": healthy, "PREFECT_API_URL": url}
        settings |= {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
        code, out, _ = shell("doctor", "--json", **settings)
        return code, next(row for row in json.loads(out) if row["name"] == "prefect")

    with web_server(b"true") as url:
        assert looked_at(f"{url}/api")[1]["state"] == "ok"
    with web_server(b"<html>hello</html>") as url:
        code, row = looked_at(f"{url}/api")
        assert (code, "not a Prefect server" in row["found"]) == (ExitCode.BAD_INPUT, True)
    code, row = looked_at(f"http://127.0.0.1:{free_port()}/api")
    assert (code, row["state"]) == (ExitCode.UNAVAILABLE, "failed")


@contextmanager
def web_server(answer: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{web.server_port}"
    finally:
        web.shutdown()
        web.server_close()


def test_a_server_that_is_too_old_is_said(
    shell: Shell, healthy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_checks, "OLDEST_SERVER", 99)  # there is none so old to start

    code, out, _ = shell("doctor", "--json", DATABASE_URL=healthy)

    assert (code, list(failures(out))) == (ExitCode.BAD_INPUT, ["server"])
