"""Each call over HTTP is the SQL call: arguments, rows, errors, and what may be cached."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from conftest import PROJECT_DIR, make_settings
from interfaces.http_server import VIDEO, by_sql, in_query, serving
from postgres_server import PostgresServer
from serving.app_world import make_app, video
from two_tower.interfaces.http import models
from two_tower.interfaces.http.functions import Function, read_functions

pytestmark = pytest.mark.xdist_group("http_calls")

FUNCTIONS = {function.name: function for function in read_functions(PROJECT_DIR)}
VIDEOS = [str(video(number)) for number in (5, 6, 7)]
# A call of each function that reads.
CALLS: dict[str, dict[str, Any]] = {
    "similar_videos": {"video_id": VIDEO, "limit": 5, "exclude": VIDEOS},
    "recommend_for_likes": {"video_ids": VIDEOS, "limit": 5, "diversity": 0.25},
    "popular_videos": {"window": "week", "limit": 3, "offset": 2},
    "new_videos": {"filter": {"price_max": 25, "maker": ["maker 1", "maker 2"]}},
    "trending_videos": {"limit": 7},
    "because_you_watched": {"user_id": "user_3", "rows": 1, "per_row": 4},
    "explain_recommendation": {"user_id": "user_3", "video_id": VIDEO},
    "recommend_videos": {"user_id": "user_3", "exclude_seen": False, "rotation": 0.5},
    "recommend_batch": {"user_ids": ["user_1", "user_2", "nobody, known"], "limit": 2},
    "rank_videos": {"user_id": "user_3", "video_ids": VIDEOS},
    "similar_users": {"user_id": "user_3", "limit": 4},
}


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    dsn = make_app(postgres_server, "http_calls", slots=True)
    with psycopg.connect(dsn) as connection:
        connection.execute("select record_event(%s, 'like', p_user_id => 'user_3')", [VIDEOS[0]])
    return dsn


@pytest.fixture(scope="module")
def client(dsn: str) -> Iterator[httpx.Client]:
    with serving(make_settings("postgres", database_url=dsn)) as client:
        yield client


def test_every_function_that_a_tier_may_call_is_a_route(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {path.removeprefix("/v1/") for path in paths} == set(FUNCTIONS)
    for name, function in FUNCTIONS.items():
        assert set(paths[f"/v1/{name}"]) == ({"post"} if function.writes else {"get", "post"})
    assert {name for name, function in FUNCTIONS.items() if function.writes} == {
        "record_event",
        "record_impressions",
    }


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_a_function_is_read_as_the_database_has_it(dsn: str, function: Function) -> None:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select proargnames, pronargs, pronargdefaults, provolatile, proallargtypes is null,"
            " array(select format_type(t, null) from unnest(coalesce(proallargtypes, proargtypes))"
            " as t) from pg_proc where oid = %s::regproc",
            [f"public.{function.name}"],
        ).fetchone()
    assert found is not None
    names, count, defaults, volatility, is_scalar, types = found
    declared = [(f"p_{argument.name}", argument.type) for argument in function.arguments]
    assert [*declared, *function.columns] == list(zip(names, types, strict=True))
    assert len(function.arguments) == count
    assert sum(argument.default is not None for argument in function.arguments) == defaults
    assert function.writes == (volatility == "v")
    assert (not function.columns) == is_scalar


@pytest.mark.parametrize("name", CALLS)
def test_get_and_post_answer_the_rows_of_the_sql_call(
    client: httpx.Client, dsn: str, name: str
) -> None:
    expected = by_sql(dsn, name, **CALLS[name])
    assert expected
    got = client.get(f"/v1/{name}", params=in_query(CALLS[name]))
    assert got.status_code == 200, got.text
    assert got.headers["content-type"] == "application/json"
    assert got.json() == expected
    assert client.post(f"/v1/{name}", json=CALLS[name]).json() == expected


def test_every_function_that_reads_is_called_above(client: httpx.Client) -> None:
    reads = {name for name, function in FUNCTIONS.items() if not function.writes}
    # A service is nobody: test_http_access calls it. And a vector is asked for below.
    assert reads - set(CALLS) == {"recommend_for_me", "recommend_for_vector"}


def test_a_vector_is_searched(client: httpx.Client, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select embedding::text from public.user_embeddings where user_id = 'user_4'"
        ).fetchone()
    assert found is not None
    sent = {"embedding": json.loads(found[0]), "limit": 5}
    listed = client.post("/v1/recommend_for_vector", json=sent).json()
    expected = by_sql(dsn, "recommend_videos", user_id="user_4", limit=5)
    assert [row["video_id"] for row in listed] == [row["video_id"] for row in expected]
    too_short = client.post("/v1/recommend_for_vector", json={"embedding": [0.1]})
    assert (too_short.status_code, too_short.json()["message"][:9]) == (422, "embedding")


def test_what_is_recorded_is_in_the_events_and_the_answer_is_a_number(
    client: httpx.Client, dsn: str
) -> None:
    event = {"video_id": VIDEO, "kind": "view", "weight": 0.5, "user_id": "http 1"}
    recorded = client.post("/v1/record_event", json=event)
    shown = {"video_ids": VIDEOS, "user_id": "http 1", "release_id": 7, "source": "model"}
    counted = client.post("/v1/record_impressions", json=shown)
    assert counted.json() == 3
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select event_id, kind, weight from two_tower.events where user_id = 'http 1'"
            " order by event_id"
        ).fetchall()
    assert rows[0] == (recorded.json(), "view", 0.5)
    assert [row[1] for row in rows] == ["view", *["impression"] * 3]
    assert client.get("/v1/record_event", params=event).status_code == 405


def test_an_argument_that_is_null_is_one_that_is_not_given(client: httpx.Client, dsn: str) -> None:
    sent = {"window": None, "limit": 2, "filter": None, "exclude": None}
    got = client.post("/v1/popular_videos", json=sent)
    assert got.json() == by_sql(dsn, "popular_videos", limit=2)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("recommend_videos", "user_id"),
        ("recommend_videos?user_id=u&user_id=v", "user_id"),
        ("recommend_videos?user_id=u&limit=ten", "limit"),
        ("recommend_videos?user_id=u&limit=1001", "limit"),
        ("recommend_videos?user_id=u&limit=99999999999999999999", "limit"),
        ("recommend_videos?user_id=u&diversity=nan", "diversity"),
        ("recommend_videos?user_id=u&exclude_seen=maybe", "exclude_seen"),
        ("recommend_videos?user_id=%00", "user_id"),
        ("recommend_videos?user_id=%ff", "query string"),
        ("recommend_videos?user_id=u&exclude=1", "exclude.0"),
        ("recommend_videos?user_id=u&p_limit=1", "p_limit"),
        ("similar_videos?video_id=1", "video_id"),
        ("popular_videos?filter=%7B", "filter"),
        ("popular_videos?filter=[]", "filter"),
        ('popular_videos?filter={"price":1}', "filter"),
        ('popular_videos?filter={"price_max":"dear"}', "price_max"),
        ('popular_videos?filter={"maker":"\\u0000"}', "Unicode"),
        ("popular_videos?window=hour", "window"),
        ("recommend_batch?user_ids=u&limit=101", "limit"),
        ("because_you_watched?user_id=u&rows=21", "rows"),
        # Together they are bounded by the database alone.
        ("recommend_videos?user_id=u&diversity=0.5&limit=100&offset=101", "offset"),
    ],
)
def test_a_bad_argument_is_named(client: httpx.Client, path: str, named: str) -> None:
    refused = client.get(f"/v1/{path}")
    assert refused.status_code == 422, refused.text
    error = refused.json()
    assert set(error) == {"code", "message", "hint"}
    assert error["code"].startswith("22")
    assert named in error["message"]
    assert error["hint"]
    assert "p_user_id" not in refused.text


def test_the_arguments_of_a_call_are_named_to_one_who_has_another(client: httpx.Client) -> None:
    own = ", ".join(argument.name for argument in FUNCTIONS["popular_videos"].arguments)
    expected = {
        "p_limit": f"its arguments are {own}; arguments have no p_ here",
        "size": f"its arguments are {own}",
    }
    for name, said in expected.items():
        for refused in (
            client.get("/v1/popular_videos", params={name: 1}),
            client.post("/v1/popular_videos", json={name: 1}),
        ):
            told = f"{name} is no argument of popular_videos; {said}"
            assert (refused.status_code, refused.json()["message"]) == (422, told)


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/readyz", "/v1/popular_videos?limit=3", "/v1/record_event", "/v1/nothing",
     "/v1/recommend_videos?user_id=user_3", "/v1/popular_videos?limit=x"],
)  # fmt: skip
def test_head_is_get_without_a_body(client: httpx.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    kept = ("content-type", "content-length", "etag", "cache-control", "allow")
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert [head.headers.get(name) for name in kept] == [got.headers.get(name) for name in kept]


def test_a_slash_at_the_end_is_no_redirect(client: httpx.Client) -> None:
    for path in ("/v1/popular_videos/", "/healthz/"):
        refused = client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (404, "HTTP404")


def test_json_that_is_too_deep_is_no_filter(client: httpx.Client) -> None:
    refused = client.get("/v1/popular_videos", params={"filter": "[" * 5000})
    assert (refused.status_code, refused.json()["message"][:6]) == (422, "filter")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"{", 422),
        (b"\xff", 422),
        (b"[" * 100_000, 422),
        (b'{"limit": true}', 422),
        (b'{"limit": "5"}', 422),
        (b'{"limit": 5.5}', 422),
        (b'{"filter": "{}"}', 422),
        (b'{"filter": {"price_max": NaN}}', 422),
        (b'{"limit": 1e400}', 422),
        (b'{"exclude": "%s"}' % VIDEO.encode(), 422),
    ],
)
def test_a_body_that_is_no_call_is_refused(client: httpx.Client, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    refused = client.post("/v1/popular_videos", content=body, headers=headers)
    assert refused.status_code == status, refused.text
    assert refused.json()["code"].startswith("22")


def test_a_body_of_another_type_is_refused(client: httpx.Client) -> None:
    """A page of another site may send a form's types without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused = client.post("/v1/record_event", content=b"{}", headers={"content-type": kind})
        assert (refused.status_code, refused.json()["code"]) == (415, "HTTP415")


def test_what_is_no_route_is_said_in_json(client: httpx.Client) -> None:
    for path, named in (("/v1/nothing", "nothing"), ("/elsewhere", "/elsewhere")):
        error = client.get(path).json()
        assert error == {
            "code": "HTTP404",
            "message": f"no such call: {named}",
            "hint": "the calls are in docs/http.md and /openapi.json",
        }
    twice = client.post("/v1/v1/popular_videos", json={}).json()
    assert twice["hint"].startswith("the url must not end with /v1")
    assert client.put("/v1/popular_videos").json()["code"] == "HTTP405"


def test_what_everybody_gets_has_a_tag_and_what_one_gets_is_not_stored(
    client: httpx.Client,
) -> None:
    for name, arguments in CALLS.items():
        got = client.get(f"/v1/{name}", params=in_query(arguments))
        if name in ("similar_videos", "popular_videos", "new_videos", "trending_videos"):
            assert got.headers["cache-control"] == "no-cache"
            tag = got.headers["etag"]
            again = client.get(
                f"/v1/{name}", params=in_query(arguments), headers={"If-None-Match": f'"x", {tag}'}
            )
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        else:
            assert got.headers["cache-control"] == "private, no-store"
            assert "etag" not in got.headers
    of_one = client.get("/v1/similar_videos", params={"video_id": VIDEO, "user_id": "user_3"})
    assert of_one.headers["cache-control"] == "private, no-store"
    assert "etag" not in of_one.headers


def test_the_tag_follows_a_video_that_is_hidden_within_a_release(
    client: httpx.Client, dsn: str
) -> None:
    first = client.get("/v1/popular_videos", params={"limit": 3})
    (hidden, *_) = [row["video_id"] for row in first.json()]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("insert into two_tower.hidden_videos values (%s)", [hidden])
        try:
            again = client.get(
                "/v1/popular_videos",
                params={"limit": 3},
                headers={"If-None-Match": first.headers["etag"]},
            )
        finally:
            connection.execute("delete from two_tower.hidden_videos")
    assert again.status_code == 200
    assert hidden not in again.text


def test_every_argument_is_described_and_every_example_is_a_call(client: httpx.Client) -> None:
    named = {argument.name for f in FUNCTIONS.values() for argument in f.arguments}
    assert set(models.ABOUT) == named
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            assert operation["description"]
            if method == "get":
                given = operation["parameters"]
                sent = {p["name"]: p["example"] for p in given if "schema" in p}
                contents = {p["name"]: p["content"] for p in given if "content" in p}
                for name, content in contents.items():
                    sent[name] = json.dumps(content["application/json"]["example"])
                got = client.get(path, params=sent)
            else:
                example = operation["requestBody"]["content"]["application/json"]["example"]
                got = client.post(path, json=example)
            # The examples' video is in no catalogue; a service is nobody.
            expected = {"/v1/recommend_for_me": 403, "/v1/record_event": 422,
                        "/v1/record_impressions": 422}.get(path, 200)  # fmt: skip
            assert got.status_code == expected, (method, path, got.text)


def test_a_users_id_is_kept_byte_for_byte(client: httpx.Client) -> None:
    for user_id in ("ü '\"\\%s;--", "a&b=c", str(uuid.uuid4()), "{1,2}", "日本"):
        sent = {"user_ids": [user_id], "limit": 1}
        assert client.post("/v1/recommend_batch", json=sent).json()[0]["user_id"] == user_id
        assert client.get("/v1/recommend_batch", params=sent).json()[0]["user_id"] == user_id
