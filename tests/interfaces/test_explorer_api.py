"""The explorer's routes: who may read what, what they answer, and how they are shut."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from importlib import resources
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from conftest import make_settings
from interfaces.explorer_world import connect, popular, reader
from interfaces.http_server import KEY, SECRET, bearer, serving, token
from postgres_server import PASSWORD, PostgresServer
from two_tower.core.errors import InputError, NotOwnerError
from two_tower.core.settings import Settings, read_settings
from two_tower.data.sample_data.catalogue import THUMBNAILS
from two_tower.database import dbt
from two_tower.interfaces import pictures
from two_tower.interfaces.http.explorer import files
from two_tower.interfaces.http.explorer.catalogue_map import project
from two_tower.operations.health import health
from two_tower.operations.status import status

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("explorer")]

SERVICES = [
    *("people", "person?user_id=x", "choices", "videos?q=x", "video?video_id={video}", "map"),
    *("likers?video_id={video}", "health", "figures/quality", "releases", "changes"),
]


@pytest.fixture(scope="module")
def client(released: Settings) -> Iterator[httpx.Client]:
    with serving(released) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(released: Settings) -> Iterator[httpx.Client]:
    """The same behind a key."""
    keys = {"api_keys": (KEY,), "jwt_secret": SECRET}
    places = {name: getattr(released, name) for name in ("data_dir", "runs_dir", "registry_url")}
    with serving(
        make_settings("postgres", database_url=released.database_url, **keys, **places)
    ) as client:
        yield client


def read(client: httpx.Client, name: str, **query: Any) -> Any:
    answer = client.get(f"/explorer/api/{name}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", SERVICES)
def test_what_names_people_or_the_whole_catalogue_is_for_services(
    guarded: httpx.Client, released: Settings, path: str
) -> None:
    url = f"/explorer/api/{path.format(video=popular(released)[0])}"

    assert guarded.get(url).status_code == 401
    assert guarded.get(url, headers=bearer("a key that is not known")).status_code == 401
    assert guarded.get(url, headers=bearer(token())).status_code == 403
    found = guarded.get(url, headers=bearer(KEY))
    assert found.status_code == 200
    kept = "no-cache" if path == "map" else "no-store"
    assert found.headers["cache-control"] == f"private, {kept}"
    assert found.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("path", "named"), [("two_lists", "user_id"), ("rollback", "serving_version")]
)
def test_so_is_what_is_posted(guarded: httpx.Client, path: str, named: str) -> None:
    url, body = f"/explorer/api/{path}", {named: "x"}
    assert guarded.post(url, json=body).status_code == 401
    assert guarded.post(url, json=body, headers=bearer(token())).status_code == 403


def test_everybody_is_told_who_they_are_and_no_more(guarded: httpx.Client) -> None:
    asked = {None: "visitor", token(): "user", KEY: "service"}
    for sent, tier in asked.items():
        headers = bearer(sent) if sent else {}
        answer = guarded.get("/explorer/api/me", headers=headers)
        assert answer.headers["cache-control"] == "private, no-store"
        found = answer.json()
        assert (found["tier"], found["needs_key"]) == (tier, True)
        assert (found["previous"] is not None) == (tier == "service")


def test_the_page_may_load_from_its_own_server_alone(client: httpx.Client) -> None:
    answer = client.get("/")
    parts = answer.headers["content-security-policy"].split("; ")
    assert dict(part.split(" ", 1) for part in parts) == {
        **dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'"),
        **{f"{name}-src": "'self'" for name in ("script", "style", "connect", "img")},
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "http" not in answer.text.replace("http-equiv", "")


def test_pictures_of_named_origins_may_be_loaded_too(released: Settings) -> None:
    named = released.model_copy(update={"serve_images": ("https://pictures.example",)})
    with serving(named) as client:
        policy = client.get("/").headers["content-security-policy"]
        assert "img-src 'self' https://pictures.example;" in policy
        assert read(client, "me")["images"] == ["https://pictures.example"]


@pytest.mark.parametrize("origins", ["*", "https://a.example; script-src *", "pictures.example"])
def test_what_is_no_origin_of_pictures_is_refused(
    origins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWO_TOWER_SERVE_IMAGES", origins)
    with pytest.raises(InputError, match="TWO_TOWER_SERVE_IMAGES"):
        read_settings()


@pytest.mark.parametrize("name", ["../router.py", "..%2Frouter.py", "%2e%2e/files.py", "x.js", ""])
def test_no_file_is_sent_but_the_pages_own(client: httpx.Client, name: str) -> None:
    assert client.get(f"/explorer/static/{name}").status_code == 404


def test_a_file_is_sent_once(client: httpx.Client) -> None:
    first = client.get("/explorer/static/app.js")
    again = client.get("/explorer/static/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_two_lists_are_those_of_the_two_releases(client: httpx.Client, released: Settings) -> None:
    user = reader(released)
    found = client.post("/explorer/api/two_lists", json={"user_id": user, "limit": 10}).json()

    served = client.get("/v1/recommend_videos", params={"user_id": user, "limit": 10}).json()
    of = {name: [v["video_id"] for v in found[name]["videos"]] for name in found}
    assert of["serving"] == [video["video_id"] for video in served]
    assert of["previous"] != of["serving"]
    with connect(released) as connection:
        connection.execute("set search_path = public, extensions")
        before = connection.execute(
            "select video_id::text as id from public.video_embeddings_previous as v where not"
            " exists (select from two_tower.interactions where user_id = %(user)s"
            " and item_id = video_id) order by embedding <=> (select embedding"
            " from public.user_embeddings_previous where user_id = %(user)s) limit 10",
            {"user": user},
        ).fetchall()
    assert of["previous"] == [row["id"] for row in before]


def test_a_history_has_reviews_and_what_the_app_recorded(
    client: httpx.Client, released: Settings
) -> None:
    user, video = str(uuid.uuid4()), popular(released, 2)[1]
    assert read(client, "person", user_id=user)["history"] == []
    client.post("/v1/record_event", json={"user_id": user, "video_id": video, "kind": "like"})

    (event,) = read(client, "person", user_id=user)["history"]
    assert (event["video_id"], event["kind"], event["is_liked"]) == (video, "like", True)
    reviews = read(client, "person", user_id=reader(released))["history"]
    assert {row["kind"] for row in reviews} == {"review"}
    assert all(row["is_liked"] == (row["stars"] >= 4) for row in reviews)


def test_the_map_has_every_video_where_its_vector_is(
    client: httpx.Client, released: Settings
) -> None:
    answer = client.get("/explorer/api/map")
    length = int.from_bytes(answer.content[:4], "little")
    head, body = json.loads(answer.content[4 : 4 + length]), answer.content[4 + length :]
    n = head["count"]
    places = np.frombuffer(body, "<u2", 2 * n).reshape(2, n).T.astype(float)
    ids = [str(uuid.UUID(bytes=body[8 * n + 16 * i : 8 * n + 16 * i + 16])) for i in range(n)]
    with connect(released) as connection:
        rows = connection.execute(
            "select video_id::text as id, embedding::text as vector from public.video_embeddings"
        ).fetchall()
    vectors = {row["id"]: json.loads(str(row["vector"])) for row in rows}

    assert sorted(ids) == sorted(vectors)
    # By another way: the singular vectors of the centred rows, up to a sign and a scale.
    centred = np.array([vectors[name] for name in ids])
    centred = centred - centred.mean(axis=0)
    wanted = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    for axis in (0, 1):
        inside = (places[:, axis] > 0) & (places[:, axis] < 65_535)  # those beyond are at the edge
        assert abs(np.corrcoef(places[inside, axis], wanted[inside, axis])[0, 1]) > 0.9999
    assert head["explained"] == pytest.approx(
        wanted.var(axis=0).sum() / centred.var(axis=0).sum(), abs=1e-3
    )
    tag = answer.headers["etag"]
    again = client.get("/explorer/api/map", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "private, no-cache"


def test_the_map_keeps_its_sign_and_its_scale() -> None:
    scales = np.r_[9, 5, np.ones(126)]
    for seed in range(8):
        vectors = (np.random.default_rng(seed).standard_normal((500, 128)) * scales).astype("f4")
        places, explained = project(vectors)
        # The solver's sign is anybody's guess: what an axis is mostly made of grows along it.
        for axis in (0, 1):
            assert np.corrcoef(places[:, axis], vectors[:, axis])[0, 1] > 0.9
        assert 9 / 5 * 0.8 < np.ptp(places[:, 0]) / np.ptp(places[:, 1]) < 9 / 5 * 1.25
        assert 0.4 < explained < 0.6
    assert project(np.ones((3, 128), np.float32))[1] == 0
    assert project(np.zeros((0, 128), np.float32))[0].shape == (0, 2)


def test_each_figure_is_what_its_sql_finds(client: httpx.Client, released: Settings) -> None:
    figures = files.read_sql("figures")
    assert len(figures) == 10
    found = {name: read(client, f"figures/{name}") for name in figures}
    with connect(released) as connection:
        for name, figure in found.items():
            rows = connection.execute(figure["sql"]).fetchall()
            assert len(figure["rows"]) == len(rows), name
            assert [list(row) for row in figure["rows"]] == [list(row) for row in rows], name
    for name in ("quality", "slices", "gates", "drift", "index", "rejected", "events", "runs"):
        assert found[name]["rows"], name
    assert {row["release_id"] for row in found["quality"]["rows"]} == {1, 2}
    assert all(r["lower"] <= r["value"] <= r["upper"] for r in found["quality"]["rows"])
    assert client.get("/explorer/api/figures/other").status_code == 404


def test_what_is_not_built_yet_is_no_error(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.prepare("explorer_bare")
    with serving(make_settings("postgres", database_url=dsn)) as client:
        assert read(client, "figures/quality")["rows"] is None
        assert read(client, "figures/runs")["rows"] is None
        assert read(client, "me")["previous"] is None


def test_a_role_without_the_tables_is_told_so_by_what_needs_them(
    postgres_server: PostgresServer, released: Settings
) -> None:
    """It has the functions, as a tier gives them."""
    postgres_server.as_superuser(f"create role server login password '{PASSWORD}'")
    roles = json.dumps({"serving_roles": {"server": "service"}})
    dbt.run(released, "run-operation", "apply_serving_roles", "--vars", roles)
    settings = released.model_copy(
        update={"database_url": SecretStr(postgres_server.dsn("explorer", "server"))}
    )
    video = popular(released)[0]
    with serving(settings) as client:
        me = read(client, "me")
        assert (me["tier"], me["previous"]) == ("service", None)
        assert client.get("/").status_code == 200
        assert len(client.get("/v1/recommend_videos?user_id=x&limit=3").json()) == 3
        urls = {path: f"/explorer/api/{path.format(video=video)}" for path in SERVICES}
        answers = {path: client.get(url) for path, url in urls.items()}
    # The others need the tables alone that its tier may read.
    refused = {path: answer for path, answer in answers.items() if answer.status_code != 200}
    needed = {"people", "person?user_id=x", "health", "figures/quality", "releases"}
    assert set(refused) >= needed
    for path, answer in refused.items():
        told = answer.json()
        assert (answer.status_code, told["code"]) == (403, "42501"), path
        assert "tables: permission denied" in told["message"]
        assert told["hint"].startswith("name the role that owns them")
    # Nor is a monitor told that nothing was released.
    for asked in (health, status):
        with pytest.raises(NotOwnerError, match="permission denied"):
            asked(settings)


def test_a_long_history_says_how_long_it_is(client: httpx.Client, released: Settings) -> None:
    user = str(uuid.uuid4())
    with connect(released) as connection:
        connection.execute(
            "insert into two_tower.events (user_id, video_id, kind, happened_at)"
            " select %s, v.video_id, 'view', now() - n * interval '1 minute'"
            " from generate_series(1, 2) as n,"
            " (select video_id from two_tower.videos limit 130) as v",
            (user,),
        )
    found = read(client, "person", user_id=user)
    assert (len(found["history"]), found["history_count"]) == (120, 130)
    assert len({row["video_id"] for row in found["history"]}) == 120


def test_the_verdict_is_that_of_status(client: httpx.Client) -> None:
    found = read(client, "health")
    assert {check["check"] for check in found["checks"]} >= {"answer", "release", "index", "drift"}
    assert found["facts"]["answers"] is True


def test_versions_and_their_figures(client: httpx.Client) -> None:
    found = read(client, "releases")
    assert [row["state"] for row in found["versions"]] == ["serving", "previous"]
    assert {row["version"] for row in found["metrics"]} == {r["version"] for r in found["versions"]}
    assert found["can_roll_back"] is True
    changes = read(client, "changes")
    assert changes["users"] == 100
    assert 0 < changes["same_share"] < 1


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1"])
def test_no_other_page_rolls_back(guarded: httpx.Client, origin: str | None) -> None:
    found = guarded.get("/explorer/api/releases", headers=bearer(KEY)).json()
    headers = bearer(KEY) | ({"Origin": origin} if origin else {})
    body = {"serving_version": found["versions"][0]["version"]}
    answer = guarded.post("/explorer/api/rollback", json=body, headers=headers)

    assert answer.status_code == 403
    assert "explorer's own page" in answer.json()["message"]


def test_a_page_that_is_out_of_date_does_not_roll_back(client: httpx.Client) -> None:
    headers = {"Origin": str(client.base_url).rstrip("/")}
    body = {"serving_version": "20200101_000000"}
    answer = client.post("/explorer/api/rollback", json=body, headers=headers)
    assert answer.status_code == 409


@given(st.text(max_size=300), st.text(max_size=80))
def test_a_poster_is_whole_whatever_the_title(title: str, maker: str) -> None:
    drawn = pictures.poster(title, maker)
    tree = ElementTree.fromstring(drawn)
    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert tags <= {
        *("svg", "defs", "linearGradient", "stop", "rect", "g", "text", "circle", "path"),
    }
    assert drawn == pictures.poster(title, maker)


def test_the_samples_pictures_are_drawn_by_the_server(client: httpx.Client) -> None:
    assert THUMBNAILS == pictures.PATH
    rows = client.get("/v1/popular_videos", params={"limit": 5}).json()[1:]
    for row in rows:
        answer = client.get(row["thumbnail_url"])
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        ElementTree.fromstring(answer.text)


def test_every_file_of_the_pages_is_in_the_wheel_and_loads_nothing_foreign() -> None:
    folder = resources.files("two_tower.interfaces.http.explorer").joinpath("static")
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text.replace("https?:\\/\\/", ""), path.name
        assert "innerHTML" not in text, path.name
