"""The TypeScript package as an app has it: packed, installed, type-checked and run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import PROJECT_DIR
from interfaces.http_server import KEY, serving, with_keys
from postgres_server import PostgresServer
from serving.app_world import make_app, video
from system import node_projects
from system.postgrest_gateway import ANON_KEY, SERVICE_KEY, gateway

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("examples")]

PACKAGE = json.loads((PROJECT_DIR / "clients/typescript/package.json").read_text())
# The oldest supabase-js that the package takes, and the newest.
OLDEST = PACKAGE["peerDependencies"]["@supabase/supabase-js"].removeprefix("^")
NEWEST = PACKAGE["devDependencies"]["@supabase/supabase-js"]
ASK = """
import { TwoTowerError, type Recommendation, type Recommender, type VideoFilter } from "two-tower";

export async function ask(videos: Recommender, vector: number[]) {
  const filter: VideoFilter = { maker: ["maker 1", "maker 2"], price_max: 1000 };
  const signal = AbortSignal.timeout(60_000);
  const list: Recommendation[] = await videos.recommend("user_1", { limit: 5, filter, signal });
  const exclude = [list[0]!.video_id];
  const near = await videos.recommendForVector(Float32Array.from(vector), { limit: 5, exclude });
  const refused = await videos.newVideos({ limit: -1 }).catch((error: unknown) => {
    if (!(error instanceof TwoTowerError)) throw error;
    return [error.code, error.message.replace("p_", ""), error.status];
  });
  return { list, near, refused };
}

export async function wrong(videos: Recommender) {
  // @ts-expect-error: there is no such option
  await videos.popular("week", { maximum: 5 });
  // @ts-expect-error: no such window
  await videos.popular("decade");
  // @ts-expect-error: an impression is no event
  await videos.record("a video", "impression");
  // @ts-expect-error: trending videos are nobody's
  await videos.trending({ excludeSeen: true });
  // @ts-expect-error: no such key of a filter
  await videos.trending({ filter: { studio: "x" } });
  // @ts-expect-error: a title may be missing
  (await videos.trending())[0]!.title.length;
  // @ts-expect-error: by one door
  (await import("two-tower")).createClient({ key: "x" });
}
"""
HTTP = """
import { createClient } from "two-tower";
import { ask } from "./ask.js";

const [url, key, vector] = process.argv.slice(2) as [string, string, string];
console.log(JSON.stringify(await ask(createClient({ url, key }), JSON.parse(vector))));
"""
SUPABASE = """
import { createClient as createSupabase } from "@supabase/supabase-js";
import { createClient, type Database } from "two-tower";
import { ask } from "./ask.js";

const [url, key, vector] = process.argv.slice(2) as [string, string, string];
const supabase = createSupabase<Database>(url, key);
console.log(JSON.stringify(await ask(createClient({ supabase }), JSON.parse(vector))));
"""
README = (PROJECT_DIR / "clients/typescript/README.md").read_text(encoding="utf-8")
BY_SUPABASE, ON_THE_DEVICE = re.findall(r"^```ts\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
STRICT = {
    "target": "es2022",
    "lib": ["es2022", "dom"],
    "types": ["node"],
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
}
MODULES = {
    "nodenext": {"module": "nodenext", "outDir": "out"},
    "bundler": {"module": "esnext", "moduleResolution": "bundler", "noEmit": True},
}
PAGE = """
<!doctype html>
<script type="importmap">{ "imports": { "two-tower": "./two-tower/index.js" } }</script>
<script type="module">
  import { createClient } from "two-tower";
  const list = await createClient({ url: location.hash.slice(1) }).popular("all", { limit: 5 });
  document.body.append(JSON.stringify(list));
</script>
"""


def make_project(folder: Path, supabase: str) -> Path:
    """An app of its own with the packed package, compiled."""
    dev = [f"{name}@{PACKAGE['devDependencies'][name]}" for name in ("typescript", "@types/node")]
    node_projects.install_packed(folder, f"@supabase/supabase-js@{supabase}", *dev)
    page = f"declare const url: string, key: string;\n{BY_SUPABASE}"
    sources = {"ask": ASK, "http": HTTP, "supabase": SUPABASE, "page": page}
    for name, text in sources.items():
        (folder / f"{name}.ts").write_text(text)
    for name, module in MODULES.items():
        # The types of supabase-js have errors of their own; ours are checked.
        for config, options, included in (
            (name, {"skipLibCheck": True}, ["*.ts"]),
            (f"{name}-ours", {}, ["ask.ts", "http.ts"]),
        ):
            compiled = {"compilerOptions": STRICT | module | options, "include": included}
            (folder / f"{config}.json").write_text(json.dumps(compiled))
    node_projects.npm(folder, "exec", "--", "tsc", "-p", "nodenext.json")
    return folder


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("newest"), NEWEST)


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("oldest"), OLDEST)


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    """A database whose owner is a service, to PostgREST's roles and over HTTP."""
    dsn = make_app(postgres_server, "typescript_package", slots=True)
    with psycopg.connect(postgres_server.superuser_dsn, autocommit=True) as admin:
        found = {row[0] for row in admin.execute("select rolname from pg_roles").fetchall()}
        for role in ("anon", "service_role"):
            if role not in found:
                admin.execute(f"create role {role} nologin noinherit")  # type: ignore[call-overload]
        admin.execute("grant anon, service_role to app")
    # As Supabase has it: a vector in an argument is of a type of this schema.
    usage = "grant usage on schema extensions to anon, service_role"
    postgres_server.as_superuser(usage, database="typescript_package")
    tiers = json.dumps({"anon": "visitor", "service_role": "service"})
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("select two_tower.sync_grants(%s, false)", (tiers,))
    return dsn


@pytest.fixture(scope="module")
def doors(dsn: str) -> Iterator[dict[str, tuple[str, str]]]:
    """The URL of each door and a service's key to it."""
    with ExitStack() as stack:
        supabase = stack.enter_context(gateway(dsn))
        http = stack.enter_context(serving(with_keys(dsn)))
        yield {"supabase": (supabase, SERVICE_KEY), "http": (str(http.base_url), KEY)}


@pytest.fixture(scope="module")
def vector(dsn: str) -> str:
    with psycopg.connect(dsn) as owner:
        query = "select embedding::text from public.user_embeddings where user_id = 'user_1'"
        return str(owner.execute(query).fetchall()[0][0])


def check(dsn: str, vector: str, printed: str) -> None:
    """Compare what a script printed with what the database says."""
    found: dict[str, Any] = json.loads(printed)
    listed = "select video_id::text from"
    filter_ = '{"maker": ["maker 1", "maker 2"], "price_max": 1000}'
    with psycopg.connect(dsn) as owner:
        by_filter = owner.execute(
            f"{listed} recommend_videos('user_1', 5, p_filter => %s) order by rank", (filter_,)
        ).fetchall()
        by_vector = owner.execute(
            f"{listed} recommend_for_vector(%s, 5, array[%s::uuid]) order by rank",
            (vector, by_filter[0][0]),
        ).fetchall()
    assert [row["video_id"] for row in found["list"]] == [row[0] for row in by_filter]
    assert [row["video_id"] for row in found["near"]] == [row[0] for row in by_vector]
    code, message, status = found["refused"]
    assert (code, status) in (("22023", 400), ("22023", 422))
    assert message.startswith("limit")


def test_what_is_published_is_code_and_types_alone() -> None:
    with tarfile.open(node_projects.packed()) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
        packed = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]
    modules = {path.stem for path in (PROJECT_DIR / "clients/typescript/src").glob("*.ts")}
    kinds = ("js", "js.map", "d.ts", "d.ts.map")
    built = {f"dist/{module}.{kind}" for module in modules for kind in kinds}
    sources = {f"src/{module}.ts" for module in modules}
    assert names == built | sources | {"package.json", "README.md", "LICENSE"}
    assert "dependencies" not in packed
    assert set(packed["peerDependencies"]) == {
        name for name, said in packed["peerDependenciesMeta"].items() if said["optional"]
    }


@pytest.mark.parametrize("node", node_projects.NODES, ids=node_projects.NODES.values())
def test_its_own_tests_pass(node: Path) -> None:
    folder = node_projects.packages() / "clients/typescript"
    node_projects.npm(folder, "exec", "--", "tsc", "-p", "test")
    tests = [str(path) for path in sorted((folder / "build/test").glob("*.test.js"))]
    done = node_projects.run(node, folder, "--test", *tests)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\bpass (\d+)", done.stdout)[1] == str(  # type: ignore[index]
        sum(path.read_text().count("\ntest(") for path in (folder / "test").glob("*.ts"))
    )


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("project", ["newest", "oldest"])
def test_an_app_compiles(request: pytest.FixtureRequest, project: str, module: str) -> None:
    folder = request.getfixturevalue(project)
    for config in (module, f"{module}-ours"):
        node_projects.npm(folder, "exec", "--", "tsc", "-p", f"{config}.json", "--noEmit")


@pytest.mark.parametrize("module", MODULES)
def test_an_app_with_a_model_on_the_device_compiles(tmp_path: Path, module: str) -> None:
    pinned = ("onnxruntime-web", "typescript", "@types/node")
    beside = (f"{name}@{PACKAGE['devDependencies'][name]}" for name in pinned)
    folder = node_projects.install_packed(tmp_path, *beside)
    (folder / "device.ts").write_text(ON_THE_DEVICE)
    (folder / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": STRICT | MODULES[module] | {"skipLibCheck": True}})
    )
    node_projects.npm(folder, "exec", "--", "tsc")


@pytest.mark.parametrize("node", node_projects.NODES, ids=node_projects.NODES.values())
@pytest.mark.parametrize("door", ["supabase", "http"])
def test_an_app_gets_what_the_database_says(
    oldest: Path,
    newest: Path,
    dsn: str,
    vector: str,
    doors: dict[str, tuple[str, str]],
    node: Path,
    door: str,
) -> None:
    # The newest supabase-js wants a newer Node than 20.
    folder = newest if node == node_projects.NEWEST else oldest
    done = node_projects.run(node, folder, f"out/{door}.js", *doors[door], vector)
    assert done.returncode == 0, done.stderr
    check(dsn, vector, done.stdout)


def test_deno_gets_it_too(
    newest: Path, dsn: str, vector: str, doors: dict[str, tuple[str, str]]
) -> None:
    (newest / "deno.json").write_text('{"nodeModulesDir": "manual"}')
    command = node_projects.deno("run", "--no-remote", "--allow-net", "--allow-env", "out/http.js")
    done = subprocess.run(
        [*command, *doors["http"], vector],
        cwd=newest,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    check(dsn, vector, done.stdout)


@node_projects.NEEDS_CHROMIUM
def test_a_page_of_an_origin_that_is_named_gets_it_too(
    newest: Path, dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(PAGE)
    shutil.copytree(newest / "node_modules/two-tower/dist", tmp_path / "two-tower")
    with (
        node_projects.files(tmp_path) as page,
        serving(with_keys(dsn, serve_origins=page)) as http,
    ):
        shown = node_projects.browse(f"{page}/#{http.base_url}", tmp_path / "profile")
    (printed,) = re.findall(r"\[\{.*?\}\]", shown)
    with psycopg.connect(dsn) as owner:
        query = "select video_id::text from popular_videos('all', 5) order by rank"
        expected = [row[0] for row in owner.execute(query).fetchall()]
    assert [row["video_id"] for row in json.loads(printed)] == expected


def test_the_anon_key_asks_for_nobody_by_name(
    newest: Path, doors: dict[str, tuple[str, str]], vector: str
) -> None:
    url, _ = doors["supabase"]
    done = node_projects.run(node_projects.NEWEST, newest, "out/supabase.js", url, ANON_KEY, vector)
    assert done.returncode == 1
    assert "TwoTowerError: permission denied for function recommend_videos" in done.stderr
    assert "code: '42501'" in done.stderr


def test_the_index_of_each_video_is_what_the_page_asks_for(dsn: str) -> None:
    (query,) = re.findall(r"```sql\n(.*?)\n```", README, re.DOTALL)
    with psycopg.connect(dsn) as owner:
        [[found]] = owner.execute(query).fetchall()
    assert found[str(video(1))] == 0
    assert sorted(found.values()) == list(range(2000))
