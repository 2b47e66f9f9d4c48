"""docs/app.md as an app types it: every call in SQL, in TypeScript by two doors, and in Python."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from conftest import PROJECT_DIR
from interfaces.http_server import serving, with_keys
from postgres_server import PASSWORD, PostgresServer
from serving.app_world import make_app, video
from system import node_projects
from system.postgrest_gateway import ANON_KEY, SECRET, SERVICE_KEY, gateway, token
from two_tower.recommend import Recommender

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("examples")]

PAGE = (PROJECT_DIR / "docs/app.md").read_text(encoding="utf-8")
USER, VIDEO = "r00364274", "738a8344-047b-57a7-9ddc-b4fb57351bf8"
ACCOUNT = "5c1f0e8e-52a3-4f3c-9a53-1f3e7a3f1f6b"
ROLES = {"visitor": "anon", "user": "authenticated", "service": "service_role"}
TIERS = list(ROLES)
# The first table: which call who may make.
WHO = dict(re.findall(r"^\| `(\w+)\(.*?\)` \| .* \| (\w+) \|$", PAGE, re.MULTILINE))
SECTIONS = {
    name: dict(re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for name, text in re.findall(
        r"^### (\w+)\n(.*?)(?=^##)", PAGE[PAGE.index("## Each call") :], re.MULTILINE | re.DOTALL
    )
}
# The page's person and video, in place of one user and one video of the world.
NAMED = """
update public.user_embeddings set user_id = '{user}' where user_id = 'user_0';
insert into two_tower.videos select '{video}', 'A title', thumbnail_url, product_url, source, maker,
    label, series, price, released_on, tag_ids, performer_ids
    from two_tower.videos where video_id = '{like}';
insert into two_tower.popularity select '{video}', 0, 2001;
insert into public.video_embeddings select '{video}', embedding
    from public.video_embeddings where video_id = '{like}';
insert into two_tower.vocab_video values ('{video}', 2001);
insert into two_tower.slot_vectors select version, feature_id, 2001, embedding
    from two_tower.slot_vectors where feature_id = 1 and index = 8;
insert into two_tower.interactions (user_id, item_id, label, weight, timestamp)
    values ('{user}', '{liked}', 1, 1, '2025-12-01'), ('{user}', '{also}', 1, 1, '2025-12-02');
"""


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    """A database with Supabase's roles, each with what its tier is granted."""
    dsn = make_app(postgres_server, "app_page", slots=True)
    with psycopg.connect(postgres_server.superuser_dsn, autocommit=True) as admin:
        found = {row[0] for row in admin.execute("select rolname from pg_roles").fetchall()}
        for role in ROLES.values():
            if role not in found:
                admin.execute(f"create role {role} nologin noinherit")  # type: ignore[call-overload]
        admin.execute(f"create role authenticator login noinherit password '{PASSWORD}'")
        admin.execute("grant anon, authenticated, service_role to authenticator")
        admin.execute(f"create role app_server login password '{PASSWORD}'")
    with psycopg.connect(dsn, autocommit=True) as connection:
        named = {
            "user": USER,
            "video": VIDEO,
            "like": video(9),
            "liked": video(3),
            "also": video(40),
        }
        connection.execute(NAMED.format(**named))  # type: ignore[call-overload]
        tiers = {role: tier for tier, role in ROLES.items()} | {"app_server": "service"}
        connection.execute("select two_tower.sync_grants(%s, false)", (json.dumps(tiers),))
        (map_account,) = blocks("Who asks", "sql")
        connection.execute(map_account.replace("<auth.uid()>", ACCOUNT))  # type: ignore[call-overload]
    return dsn


@pytest.fixture(scope="module")
def supabase_url(dsn: str, postgres_server: PostgresServer) -> Iterator[str]:
    with gateway(postgres_server.dsn("app_page", "authenticator")) as url:
        yield url


@pytest.fixture(scope="module")
def http_url(dsn: str, postgres_server: PostgresServer) -> Iterator[str]:
    app_server = postgres_server.dsn("app_page", "app_server")
    with serving(with_keys(app_server, api_keys=SERVICE_KEY, jwt_secret=SECRET.decode())) as http:
        yield str(http.base_url)


@pytest.fixture(params=["supabase", "http"])
def door(request: pytest.FixtureRequest) -> tuple[str, str]:
    """How the script asks, and where."""
    return request.param, request.getfixturevalue(f"{request.param}_url")


@pytest.fixture(scope="module")
def typescript() -> Path:
    """The TypeScript example with its locked packages, and the page's lines in a file each."""
    folder = node_projects.packages() / "examples/typescript"
    by_supabase, by_http = blocks("TypeScript", "ts")
    arguments = "const [url, key, token] = process.argv.slice(2) as [string, string, string?];\n"
    signed_in = "(url, key, token ? { accessToken: async () => token } : {})"
    opened = {
        "supabase": re.sub(r"\(process\.env\.SUPABASE_URL!.*\)", signed_in, by_supabase),
        "http": re.sub(
            r"\{ url: .* \}", "{ url, ...(token ? { token } : key ? { key } : {}) }", by_http
        ),
    }
    lines = {
        name: f"const data: unknown = {section['ts'].strip().removesuffix(';')};\n"
        "console.log(JSON.stringify(data instanceof Map ? Object.fromEntries(data) : data));\n"
        for name, section in SECTIONS.items()
    }
    (rotation,) = blocks("Not the same list every day", "ts")
    lines |= {
        "rotation": f"{rotation}console.log(JSON.stringify(list));\n",
        "a_like": A_LIKE,
        "vectors": VECTORS,
    }
    for door, text in opened.items():
        assert "process.env" not in text
        for name, line in lines.items():
            if name != "vectors" or door == "supabase":
                (folder / f"{name}_{door}.ts").write_text(f"{arguments}{text}{line}")
    return folder


A_LIKE = """
await videos.recommendForMe({ limit: 10 }); // the connection is open
const before = await videos.recommendForMe({ limit: 10 });
const started = performance.now();
await videos.record(before[0]!.video_id, "like");
const recorded = performance.now();
const after = await videos.recommendForMe({ limit: 10 });
const next = performance.now() - recorded;
console.log(JSON.stringify({ before, after, like: recorded - started, next }));
"""
VECTORS = """
const { data } = await supabase.from("user_embeddings").select("user_id, embedding")
  .eq("user_id", "r00364274").throwOnError();
console.log(JSON.stringify(data));
"""


def blocks(heading: str, language: str) -> list[str]:
    """The blocks of a language below a heading of the page."""
    text = re.split(rf"^##+ {re.escape(heading)}\n", PAGE, flags=re.MULTILINE)[1]
    text = re.split(r"^##", text, flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(folder: Path, name: str, door: tuple[str, str], tier: str) -> Any:
    way, url = door
    key = SERVICE_KEY if tier == "service" else ANON_KEY if way == "supabase" else ""
    signed_in = [token("authenticated", ACCOUNT)] if tier == "user" else []
    done = node_projects.run(node_projects.NEWEST, folder, f"{name}_{way}.ts", url, key, *signed_in)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def request(dsn: str, tier: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction as PostgREST has it, undone at its end."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ROLES[tier])))
        claims = json.dumps({"role": ROLES[tier], "sub": ACCOUNT})
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        yield connection
        connection.rollback()


def flat(answer: Any) -> list[str]:
    """The ids of an answer in Python or of a script, in their order."""
    if isinstance(answer, dict):  # of a batch
        return [id_ for rows in answer.values() for id_ in flat(rows)]
    found = []
    for row in answer:
        row = row if isinstance(row, dict) else vars(row)
        found += flat(row["videos"]) if "videos" in row else [identity(row)]
    return found


def identity(row: dict[str, Any]) -> str:
    """What tells a row from others: a video, a user, or what has a share."""
    return str(row.get("video_id") or row.get("user_id") or row.get("feature"))


def test_the_page_has_every_call_in_three_languages() -> None:
    written = {path.stem for path in (PROJECT_DIR / "sql/functions").glob("*.sql")}
    doors = {
        name
        for name in written
        if f"function public.{name}(" in (PROJECT_DIR / f"sql/functions/{name}.sql").read_text()
    }
    assert set(WHO) == set(SECTIONS) == doors - {"recommend_for_vector"}
    assert all(set(section) == {"sql", "ts", "python"} for section in SECTIONS.values())
    assert set(WHO.values()) == set(TIERS)


def test_any_driver_asks_by_sql(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    found: dict[str, Any] = {}
    exec(blocks("SQL", "python")[0], found)
    assert len(found["rows"]) == 20


@pytest.mark.parametrize("name", SECTIONS)
def test_a_call_gives_the_same_in_each_language(
    dsn: str,
    door: tuple[str, str],
    typescript: Path,
    postgres_server: PostgresServer,
    name: str,
) -> None:
    section, tier = SECTIONS[name], WHO[name]
    with request(postgres_server.dsn("app_page", "authenticator"), tier) as connection:
        rows = connection.execute(section["sql"]).fetchall()  # type: ignore[call-overload]
    by_script = run(typescript, name, door, tier)
    with Recommender(database_url=postgres_server.dsn("app_page", "app_server")) as recommender:
        line = textwrap.dedent(section["python"]).strip()
        in_python = eval(line, {"recommender": recommender})
    if name.startswith("record_"):
        (said,) = rows[0].values()
        assert [type(answer) for answer in (said, by_script, in_python)] == [int] * 3
        return
    assert rows
    ids = [identity(row) for row in rows]
    assert flat(by_script) == ids
    assert flat(in_python) == ids


@pytest.mark.parametrize("tier", TIERS)
def test_each_tier_may_make_the_calls_that_the_page_says(
    dsn: str, postgres_server: PostgresServer, tier: str
) -> None:
    refused = set()
    for name, section in SECTIONS.items():
        with request(postgres_server.dsn("app_page", "authenticator"), tier) as connection:
            try:
                connection.execute(section["sql"])  # type: ignore[call-overload]
            except psycopg.errors.InsufficientPrivilege as error:
                refused.add((name, str(error).splitlines()[0]))
    higher = TIERS[TIERS.index(tier) + 1 :]
    expected = {name for name, of in WHO.items() if of in higher}
    assert refused == {(name, f"permission denied for function {name}") for name in expected}


def test_a_like_changes_the_next_call(
    dsn: str, door: tuple[str, str], typescript: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("delete from two_tower.app_users")
        somebody = f"somebody new by {door[0]}"
        owner.execute("insert into two_tower.app_users values (%s, %s)", (ACCOUNT, somebody))
        try:
            found = run(typescript, "a_like", door, "user")
        finally:
            owner.execute("update two_tower.app_users set user_id = %s", (USER,))
        stored = owner.execute(
            "select user_id, kind from two_tower.events where user_id = %s", (somebody,)
        ).fetchall()
    with capsys.disabled():
        print(f"\nlike: {found['like']:.0f} ms, the next list: {found['next']:.0f} ms")
    liked = found["before"][0]["video_id"]
    assert stored == [(somebody, "like")]
    assert {row["source"] for row in found["before"]} == {"popular"}
    assert {row["source"] for row in found["after"]} == {"model"}
    assert liked not in {row["video_id"] for row in found["after"]}


def test_what_was_shown_sinks(dsn: str, supabase_url: str, typescript: Path) -> None:
    door = "supabase", supabase_url
    lists = [run(typescript, "rotation", door, "user") for _ in range(2)]
    shown, then = ({row["video_id"] for row in rows} for rows in lists)
    assert len(shown) == len(then) == 20
    assert len(shown & then) < 20


def test_hidden_and_boosted_videos_are_read_at_each_call(dsn: str) -> None:
    hide, show, boost = blocks("Hidden and boosted videos", "sql")[0].strip().split(";\n")
    query = f"select video_id::text, score from similar_videos('{video(9)}', 5)"
    with psycopg.connect(dsn) as owner:
        before = dict(owner.execute(query).fetchall())  # type: ignore[call-overload]
        owner.execute(hide)  # type: ignore[call-overload]
        hidden = dict(owner.execute(query).fetchall())  # type: ignore[call-overload]
        owner.execute(show)  # type: ignore[call-overload]
        owner.execute(boost)  # type: ignore[call-overload]
        boosted = dict(owner.execute(query).fetchall())  # type: ignore[call-overload]
        owner.rollback()
    assert VIDEO in before
    assert VIDEO not in hidden
    assert boosted[VIDEO] == pytest.approx((1 + before[VIDEO]) * 1.2 - 1, abs=1e-5)


def test_the_filters_of_the_page_are_those_of_the_function(dsn: str) -> None:
    table = PAGE.split("## Filters")[1].split("\n## ")[0]
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", table, re.MULTILINE)))
    with (
        psycopg.connect(dsn) as owner,
        pytest.raises(psycopg.errors.InvalidParameterValue) as refused,
    ):
        owner.execute("select * from new_videos(p_filter => '{\"studio\": 1}')")
    hint = refused.value.diag.message_hint or ""
    assert sorted(named) == sorted(re.findall(r"\w+_?\w*", hint.removeprefix("The keys are ")))


def test_vectors_are_for_services_alone(
    dsn: str, supabase_url: str, typescript: Path, postgres_server: PostgresServer
) -> None:
    door = "supabase", supabase_url
    assert [row["user_id"] for row in run(typescript, "vectors", door, "service")] == [USER]
    for tier in ("visitor", "user"):
        with pytest.raises(AssertionError, match="permission denied for table user_embeddings"):
            run(typescript, "vectors", door, tier)


def test_the_page_compiles(typescript: Path) -> None:
    node_projects.npm(typescript, "run", "check")
