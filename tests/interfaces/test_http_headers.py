"""What every answer says of itself in headers, and what a page of another origin may load."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from conftest import make_settings
from interfaces.http_server import KEY, VIDEO, bearer, serving, token, with_keys
from postgres_server import PostgresServer
from serving.app_world import make_app

pytestmark = pytest.mark.xdist_group("http_headers")

APP = "https://app.example"


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    return make_app(postgres_server, "http_headers", slots=True)


@pytest.fixture(scope="module")
def keyless(dsn: str) -> Iterator[httpx.Client]:
    with serving(make_settings("postgres", database_url=dsn, serve_origins=APP)) as client:
        yield client


@pytest.fixture(scope="module")
def client(dsn: str) -> Iterator[httpx.Client]:
    with serving(with_keys(dsn, serve_rate=0)) as client:
        yield client


def from_site(site: str, mode: str = "no-cors", origin: str | None = None) -> dict[str, str]:
    """What a browser says of the page that asks."""
    sent = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    return sent | ({"Origin": origin} if origin else {})


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_without_keys_a_page_of_others_loads_nothing_without_saying_its_origin(
    keyless: httpx.Client, site: str
) -> None:
    paths = ("/v1/popular_videos", "/explorer/api/me", "/metrics", "/readyz", "/", "/healthz")
    for path in (*paths, "/explorer/static/app.js"):
        refused = keyless.get(path, headers=from_site(site))
        assert (refused.status_code, refused.json()["code"]) == (403, "HTTP403"), path
    for path in paths[:4]:  # a frame, or a window that is opened
        assert keyless.get(path, headers=from_site(site, "navigate")).status_code == 403, path
    own = str(keyless.base_url).rstrip("/")
    for origin, status in ((APP, 200), ("https://x.example", 403), ("null", 403), (own, 403)):
        answer = keyless.get("/v1/popular_videos", headers=from_site(site, "cors", origin))
        assert answer.status_code == status, origin


def test_without_keys_a_link_to_the_page_and_the_page_itself_work(keyless: httpx.Client) -> None:
    assert keyless.get("/", headers=from_site("cross-site", "navigate")).status_code == 200
    for path in ("/explorer/static/app.js", "/v1/popular_videos", "/readyz"):
        assert keyless.get(path, headers=from_site("same-origin", "cors")).status_code == 200
        typed = keyless.get(path, headers=from_site("none", "navigate"))
        assert typed.status_code == 200


def test_with_keys_a_page_of_others_is_a_visitor(client: httpx.Client) -> None:
    """A browser sends no key by itself."""
    headers = from_site("cross-site")
    assert client.get("/v1/popular_videos", headers=headers).status_code == 200
    assert client.get("/v1/similar_users?user_id=u", headers=headers).status_code == 401


def test_no_page_of_others_takes_an_answer_for_a_script_or_a_picture(
    client: httpx.Client, keyless: httpx.Client
) -> None:
    for server, policy in ((client, "same-origin"), (keyless, "cross-origin")):
        for path, sent, status in (
            ("/v1/popular_videos", {}, 200),
            ("/v1/popular_videos?limit=x", {}, 422),
            ("/v1/nothing", {}, 404),
            ("/v1/popular_videos", {"Host": "x.example"}, 403 if server is keyless else 200),
            ("/v1/popular_videos", bearer("wrong"), 200 if server is keyless else 401),
        ):
            answer = server.get(path, headers=sent)
            assert answer.status_code == status
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cross-origin-resource-policy"] == policy
        # The explorer's own are shut whoever else may ask.
        page = server.get("/")
        assert page.headers.get_list("cross-origin-resource-policy") == ["same-origin"]


def test_a_refusal_and_what_is_posted_are_not_stored(client: httpx.Client) -> None:
    answers = [
        client.get("/v1/popular_videos", params={"limit": "x"}),
        client.get("/v1/similar_users", params={"user_id": "u"}),
        client.get("/v1/similar_users", params={"user_id": "u"}, headers=bearer(token())),
        client.get("/v1/popular_videos", headers=bearer("wrong")),
        client.get("/v1/nothing"),
        client.post("/v1/popular_videos", content=b"{}"),
        client.post("/v1/popular_videos", json={}),
        client.post("/v1/similar_videos", json={"video_id": VIDEO}),
        client.post("/v1/record_event", json={"video_id": VIDEO, "kind": "like", "user_id": "u"},
                    headers=bearer(KEY)),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [
        *(422, 401, 403, 401, 404, 415, 200, 200, 200),
    ]
    for answer in answers:
        assert "no-store" in answer.headers["cache-control"], answer.url
        assert "etag" not in answer.headers


def test_a_tag_that_a_proxy_has_made_weak_is_the_same(client: httpx.Client) -> None:
    tag = client.get("/v1/popular_videos").headers["etag"]
    for sent, status in ((f"W/{tag}", 304), (f'"x", W/{tag}', 304), ("*", 304), ('W/"x"', 200)):
        again = client.get("/v1/popular_videos", headers={"If-None-Match": sent})
        assert again.status_code == status, sent


def test_a_named_origin_is_sent_no_cookies(dsn: str) -> None:
    with serving(with_keys(dsn, serve_origins=APP)) as client:
        asked = {"Origin": APP, "Access-Control-Request-Method": "GET"}
        for answer in (
            client.options("/v1/popular_videos", headers=asked),
            client.get("/v1/popular_videos", headers={"Origin": APP}),
        ):
            assert answer.headers["access-control-allow-origin"] == APP
            assert "access-control-allow-credentials" not in answer.headers
