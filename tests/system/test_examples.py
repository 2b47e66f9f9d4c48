"""The examples as an app runs them: Node, Deno, real supabase-js, real psycopg, a real Postgres."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from conftest import PROJECT_DIR, folders, make_settings
from interfaces.http_server import serving
from postgres_server import PostgresServer, free_port
from serving.serving_world import make_world, video_id
from system import node_projects
from system.postgrest_gateway import ANON_KEY, SERVICE_KEY, gateway, token
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
def typescript() -> Path:
    """A copy of the TypeScript example with its locked packages installed."""
    return node_projects.packages() / "examples/typescript"


def run_typescript(
    folder: Path, url: str, *arguments: str, anon: str = ANON_KEY, service: str = SERVICE_KEY
) -> subprocess.CompletedProcess[Any]:
    keys = {"SUPABASE_ANON_KEY": anon, "SUPABASE_SERVICE_ROLE_KEY": service}
    return node_projects.run(
        node_projects.NEWEST, folder, "recommend.ts", *arguments, SUPABASE_URL=url, **keys
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
    node_projects.npm(typescript, "run", "check")


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


@contextmanager
def running(command: list[str | Path], folder: Path, **environment: str) -> Iterator[str]:
    """Run a server inside the block; yields the address that it prints."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
            line = process.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        yield found[0]
    finally:
        process.kill()
        process.communicate()


def ask(url: str, body: Any = None, bearer: str = "") -> tuple[int, str]:
    """Return the status and the text of an answer."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Authorization": f"Bearer {bearer}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def titles(page: str, heading: str) -> list[str]:
    (row,) = re.findall(rf'<section aria-label="{heading}">.*?</section>', page, re.DOTALL)
    return [html.unescape(title) for title in re.findall(r"<span>(.*?)</span>", row)]


def test_the_page_shows_what_is_popular_and_what_fits_a_click(
    typescript: Path, app_dsn: str
) -> None:
    with psycopg.connect(app_dsn, autocommit=True) as owner:
        first = owner.execute("select video_id from popular_videos('all', 1)").fetchall()[0][0]
        named = "update two_tower.videos set title = %s where video_id = %s returning title"
        owner.execute(named, ('<img src=x onerror="alert(1)">', first))
    with (
        serving(make_settings("postgres", database_url=app_dsn)) as http,
        running(
            [node_projects.NEWEST, "page.ts", "0"], typescript, TWO_TOWER_URL=str(http.base_url)
        ) as page_url,
    ):
        status, page = ask(page_url)
        link = re.findall(r'<a href="(.*?)"', page)[0]
        _, clicked = ask(page_url + html.unescape(link))
        missing, _ = ask(f"{page_url}/favicon.ico")
        broken, _ = ask(f"{page_url}/?likes=nothing")
    assert status == 200
    popular = [row["title"] for row in expected(app_dsn, "popular_videos('all', 12)")]
    assert titles(page, "Popular") == titles(clicked, "Popular") == popular
    assert popular[0] == '<img src=x onerror="alert(1)">'
    assert "<img src=x" not in page
    assert "For you" not in page
    call = f"recommend_for_likes(array['{first}']::uuid[], 12)"
    assert titles(clicked, "For you") == [row["title"] for row in expected(app_dsn, call)]
    assert (missing, broken) == (404, 503)


def test_the_edge_function_ranks_for_whoever_has_signed_in_alone(
    typescript: Path, app_dsn: str
) -> None:
    videos = [video_id(number) for number in (3, 9, 4)]
    user = token("authenticated", "user_1")
    header, claims, _ = user.split(".")
    with (
        gateway(app_dsn) as url,
        running(
            [
                *node_projects.deno("run", "--check", "--no-remote", "--allow-net", "--allow-env"),
                "index.ts",
            ],
            typescript / "edge-function",
            SUPABASE_URL=url,
            SUPABASE_SERVICE_ROLE_KEY=SERVICE_KEY,
            DENO_SERVE_ADDRESS=f"tcp:127.0.0.1:{free_port()}",
        ) as function_url,
    ):
        body = {"video_ids": videos}
        status, ranked = ask(function_url, body, user)
        refused = {
            bearer: ask(function_url, body, bearer)[0]
            for bearer in ("", ANON_KEY, SERVICE_KEY, f"{header}.{claims}.forged")
        }
        wrong = [ask(function_url, wrong, user)[0] for wrong in ([], {}, {"video_ids": ["x"]})]
    assert status == 200
    listed = "','".join(videos)
    call = f"rank_videos('user_1', array['{listed}']::uuid[])"
    assert json.loads(ranked) == expected(app_dsn, call)
    assert set(refused.values()) == {401}
    assert wrong == [400, 400, 400]


@pytest.mark.parametrize("name", ["clients/typescript", "examples/typescript"])
def test_the_packages_are_pinned_and_the_lock_names_no_machine(name: str) -> None:
    package = json.loads((PROJECT_DIR / name / "package.json").read_text())
    lock = json.loads((PROJECT_DIR / name / "package-lock.json").read_text())
    for of in ("dependencies", "devDependencies"):
        for named, version in package.get(of, {}).items():
            entry = lock["packages"][f"node_modules/{named}"]
            is_link = entry.get("link", False)
            assert version == (f"file:{entry['resolved']}" if is_link else entry["version"])
    for path, entry in lock["packages"].items():
        if path.startswith("node_modules/") and not entry.get("link"):
            assert entry["integrity"].startswith("sha512-")
            registry = "https://registry.npmjs.org/"
            assert entry.get("resolved", registry).startswith(registry)
