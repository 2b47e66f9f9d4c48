"""Who may ask what over HTTP: tiers by routes, keys, tokens and their forgeries, other origins."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conftest import make_settings
from interfaces.http_server import (
    KEY,
    SECRET,
    VIDEO,
    bearer,
    by_sql,
    in_query,
    serving,
    token,
    with_keys,
)
from interfaces.test_http_calls import CALLS, FUNCTIONS
from postgres_server import PostgresServer
from serving.app_world import make_app
from two_tower.core.errors import InputError
from two_tower.interfaces.http.app import create_app
from two_tower.interfaces.http.functions import TIERS
from two_tower.interfaces.http.serve import serve

pytestmark = pytest.mark.xdist_group("http_access")

# As in test_http_calls, for one who is signed in: nobody is named.
ALL_CALLS: dict[str, dict[str, Any]] = {
    **{
        name: {k: v for k, v in sent.items() if k != "user_id" or FUNCTIONS[name].tier == "service"}
        for name, sent in CALLS.items()
    },
    "recommend_for_me": {"limit": 3},
    "recommend_for_vector": {"embedding": [0.1] * 128},
    "record_event": {"video_id": VIDEO, "kind": "click"},
    "record_impressions": {"video_ids": [VIDEO]},
}


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    return make_app(postgres_server, "http_access", slots=True)


@pytest.fixture(scope="module")
def client(dsn: str) -> Iterator[httpx.Client]:
    with serving(with_keys(dsn, serve_rate=0)) as client:
        yield client


def ask(client: httpx.Client, name: str, headers: dict[str, str], **more: Any) -> httpx.Response:
    return client.post(f"/v1/{name}", json=ALL_CALLS[name] | more, headers=headers)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_tier_may_call_its_functions_and_those_below(client: httpx.Client, name: str) -> None:
    assert set(ALL_CALLS) == set(FUNCTIONS)
    function = FUNCTIONS[name]
    of_tier = {"visitor": {}, "user": bearer(token()), "service": bearer(KEY)}
    for tier, headers in of_tier.items():
        if TIERS.index(tier) < TIERS.index(function.tier):  # type: ignore[arg-type]
            expected = (401, "28000") if tier == "visitor" else (403, "42501")
        elif tier == "service" and function.tier == "user":
            expected = (403, "42501")  # a service is nobody: it has to name the user
        else:
            expected = (200, None)
        answers = [ask(client, name, headers)]
        if not function.writes:
            sent = in_query(ALL_CALLS[name])
            answers.append(client.get(f"/v1/{name}", params=sent, headers=headers))
        for answer in answers:
            code = None if answer.status_code == 200 else answer.json()["code"]
            assert (answer.status_code, code) == expected, (tier, answer.text)
            assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


def events_of(dsn: str, user_id: str) -> int:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select count(*) from two_tower.events where user_id = %s", [user_id]
        ).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize(
    "name", [n for n, f in FUNCTIONS.items() if "user_id" in {a.name for a in f.arguments}]
)
def test_only_a_service_names_another_person(client: httpx.Client, dsn: str, name: str) -> None:
    function = FUNCTIONS[name]
    another, before = {"user_id": "user_2"}, events_of(dsn, "user_2")
    assert ask(client, name, bearer(KEY), **another).status_code == 200
    assert ask(client, name, {}, **another).status_code == 401
    if function.tier == "service":
        return
    refused = ask(client, name, bearer(token("user_1")), **another)
    assert (refused.status_code, refused.json()["code"]) == (403, "42501")
    assert "user_id" in refused.json()["message"]
    assert ask(client, name, bearer(token("user_1")), user_id="user_1").status_code == 200
    assert events_of(dsn, "user_2") == before + function.writes  # the service's


def test_a_user_is_the_tokens_sub_as_the_database_maps_it(client: httpx.Client, dsn: str) -> None:
    mine = ask(client, "recommend_for_me", bearer(token("user_5"))).json()
    assert mine == by_sql(dsn, "recommend_videos", user_id="user_5", limit=3)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("insert into two_tower.app_users values ('account 6', 'user_6')")
    headers = bearer(token("account 6"))
    mapped = by_sql(dsn, "recommend_videos", user_id="user_6", limit=3)
    assert ask(client, "recommend_for_me", headers).json() == mapped
    # Naming the account is naming oneself; the event is the reviewer's.
    assert ask(client, "record_event", headers, user_id="account 6").status_code == 200
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select user_id from two_tower.events order by event_id desc limit 1"
        ).fetchall()
    assert rows == [("user_6",)]


def test_a_role_of_tier_service_is_enough_for_the_server(
    postgres_server: PostgresServer, dsn: str
) -> None:
    role, password = "http_service", "a password"
    postgres_server.as_superuser(f"create role {role} login password '{password}'")
    with psycopg.connect(dsn) as connection:
        connection.execute("select two_tower.sync_grants(%s)", [json.dumps({role: "service"})])
    database = dsn.rpartition("/")[2]
    settings = with_keys(postgres_server.dsn(database, role, password), serve_rate=0)
    with serving(settings) as client:
        assert client.get("/readyz").status_code == 200
        for name, function in FUNCTIONS.items():
            headers = bearer(token("user_1") if function.tier == "user" else KEY)
            answer = ask(client, name, headers)
            assert answer.status_code == 200, (name, answer.text)
            if function.tier == "user" and name != "recommend_for_me":
                assert ask(client, name, headers, user_id="user_1").status_code == 200, name


def test_claims_do_not_stay_on_a_connection(dsn: str) -> None:
    """One connection answers a user, then a service, which is nobody."""
    with serving(with_keys(dsn, serve_connections=1)) as client:
        for _ in range(3):
            assert ask(client, "recommend_for_me", bearer(token())).status_code == 200
            assert ask(client, "recommend_for_me", bearer(KEY)).status_code == 403


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: dict[str, Any], secret: bytes | None, **claims: Any) -> str:
    """A token that no library would make."""
    signed = f"{encoded(header)}.{encoded({'sub': 'user_1', 'exp': time.time() + 60} | claims)}"
    signature = hmac.new(secret, signed.encode(), sha256).digest() if secret is not None else b""
    return f"{signed}.{encoded(signature)}"


HS256 = {"alg": "HS256", "typ": "JWT"}
FORGERIES = {
    "another secret": token(secret="another secret, which is as long as the other"),
    "no signature": forged(HS256, None),
    "the algorithm none": forged({"alg": "none"}, None),
    "the algorithm None": forged({"alg": "None"}, None),
    "none with the secret": forged({"alg": "none"}, SECRET.encode()),
    "no algorithm": forged({"typ": "JWT"}, SECRET.encode()),
    "another hash": token(secret=SECRET * 2, algorithm="HS512"),
    "expired": token(exp=time.time() - 60),
    "without exp": token(exp=None),
    "exp as a text": forged(HS256, SECRET.encode(), exp="never"),
    "exp infinite": forged(HS256, SECRET.encode(), exp=float("inf")),
    "not yet valid": token(nbf=time.time() + 600),
    "without sub": token(sub=None),
    "sub as a number": forged(HS256, SECRET.encode(), sub=1),
    "sub as an object": forged(HS256, SECRET.encode(), sub={"a": 1}),
    "an empty secret": forged(HS256, b""),
    "kid that names a file": forged(HS256 | {"kid": "/dev/null"}, b""),
    "kid that is SQL": forged(HS256 | {"kid": "x' union select 'secret"}, b"secret"),
    "a key of its own": forged(
        HS256 | {"jwk": {"kty": "oct", "k": encoded(b"secret" * 8)}}, b"secret" * 8
    ),
    "a place of its own": forged(HS256 | {"jku": "http://127.0.0.1:1/keys"}, b"secret"),
    "critical header": forged(HS256 | {"crit": ["exp"]}, b"secret"),
    "two parts": "a.b",
    "four parts": token() + ".x",
    "header that is no JSON": f"{encoded(b'{')}.{encoded({})}.x",
    "header that is a list": f"{encoded([])}.{encoded({})}.x",
    "claims that are a list": f"{encoded(HS256)}.{encoded([])}.x",
    "no token": "x",
    "a part of the key": KEY[:-1],
    "the secret itself": SECRET,
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_is_refused(client: httpx.Client, name: str) -> None:
    headers = bearer(FORGERIES[name])
    for call in ("recommend_for_me", "popular_videos"):
        refused = ask(client, call, headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "28000"), refused.text
        assert FORGERIES[name] not in refused.text
    assert "expired" in refused.json()["message"] or name != "expired"


SIGNED_BY_NOBODY = "the token is signed with no key that this server knows"
WHY = {
    "another secret": SIGNED_BY_NOBODY,
    "no signature": SIGNED_BY_NOBODY,
    "the algorithm none": "the token's algorithm is not allowed",
    "another hash": "the token's algorithm is not allowed",
    "expired": "the token has expired",
    "without exp": "the token has no exp: it would be valid for ever",
    "not yet valid": "the token is not valid yet",
    "without sub": "the token has no sub, which is the user",
    "sub as a number": "the token's sub is not a text",
    "exp as a text": "the token is not valid",
    "no token": "neither an API key that is known nor a JWT",
    "a part of the key": "neither an API key that is known nor a JWT",
}


@pytest.mark.parametrize("name", WHY)
def test_a_token_that_is_refused_is_told_why(client: httpx.Client, name: str) -> None:
    assert ask(client, "popular_videos", bearer(FORGERIES[name])).json()["message"] == WHY[name]


@pytest.mark.parametrize("sent", ["", "Bearer", "Basic YTpi", f"Basic {KEY}", KEY, "ß"])
def test_another_header_is_refused(client: httpx.Client, sent: str) -> None:
    headers = {"Authorization": sent.encode("utf-8")}
    assert client.get("/v1/popular_videos", headers=headers).status_code == 401


def test_two_clocks_may_differ_by_seconds(client: httpx.Client) -> None:
    assert ask(client, "recommend_for_me", bearer(token(exp=time.time() - 2))).status_code == 200


def test_an_audience_that_is_set_has_to_be_named(dsn: str) -> None:
    with serving(with_keys(dsn, jwt_audience="videos")) as client:
        for audience, status in (("videos", 200), (["x", "videos"], 200), ("x", 401), (None, 401)):
            headers = bearer(token(aud=audience))
            answer = ask(client, "recommend_for_me", headers)
            assert answer.status_code == status
            assert "for another audience" in answer.text or status == 200


def test_a_service_is_told_by_any_of_the_keys(dsn: str) -> None:
    keys = f"{KEY}, another key of the tests"
    with serving(with_keys(dsn, api_keys=keys, jwt_secret=None)) as client:
        for key in keys.split(", "):
            assert ask(client, "similar_users", bearer(key)).status_code == 200
        assert ask(client, "similar_users", bearer(token())).status_code == 401


RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def key_set(*, with_secret: bool = False) -> dict[str, Any]:
    keys = [
        jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)
        | {"kid": "rsa", "use": "sig", "alg": "RS256"},
        jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key(), as_dict=True)
        | {"kid": "ec", "use": "sig", "alg": "ES256"},
    ]
    if with_secret:
        keys.append({"kty": "oct", "kid": "oct", "k": encoded(SECRET.encode())})
    return {"keys": keys}


@pytest.fixture(scope="module", params=["file", "url"])
def of_public_keys(
    request: pytest.FixtureRequest, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A server that knows tokens by public keys, of a file or behind a URL."""
    if request.param == "file":
        path = tmp_path_factory.mktemp("keys") / "jwks.json"
        path.write_text(json.dumps(key_set(with_secret=True)))
        with serving(with_keys(dsn, jwt_secret=None, jwt_jwks=str(path), serve_rate=0)) as client:
            yield client
        return

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(key_set()).encode())

        def log_message(self, *arguments: Any) -> None:
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/jwks.json"
        with serving(with_keys(dsn, jwt_secret=None, jwt_jwks=url, serve_rate=0)) as client:
            yield client
        server.shutdown()


def test_a_token_is_known_by_a_public_key(of_public_keys: httpx.Client) -> None:
    for key, algorithm, kid in ((RSA, "RS256", "rsa"), (EC, "ES256", "ec")):
        good = token(secret=key, algorithm=algorithm, headers={"kid": kid})
        assert ask(of_public_keys, "recommend_for_me", bearer(good)).status_code == 200


def test_a_public_key_is_no_secret(of_public_keys: httpx.Client) -> None:
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    other = rsa.generate_private_key(65537, 2048)
    for sent in (
        forged(HS256 | {"kid": "rsa"}, pem),
        forged(HS256 | {"kid": "rsa"}, json.dumps(key_set()["keys"][0]).encode()),
        forged(HS256 | {"kid": "oct"}, SECRET.encode()),
        forged({"alg": "none", "kid": "rsa"}, None),
        token(secret=other, algorithm="RS256", headers={"kid": "rsa"}),
        token(secret=RSA, algorithm="RS256", headers={"kid": "ec"}),
        token(secret=RSA, algorithm="RS512", headers={"kid": "rsa"}),
        token(secret=RSA, algorithm="RS256", headers={"kid": "unknown"}),
        token(secret=RSA, algorithm="RS256"),
    ):
        assert ask(of_public_keys, "recommend_for_me", bearer(sent)).status_code == 401


def test_a_key_that_is_unknown_is_told_as_a_signature_that_is_wrong(
    of_public_keys: httpx.Client,
) -> None:
    other = rsa.generate_private_key(65537, 2048)
    for secret, kid in ((other, "rsa"), (RSA, "unknown")):
        sent = token(secret=secret, algorithm="RS256", headers={"kid": kid})
        refused = ask(of_public_keys, "popular_videos", bearer(sent))
        assert refused.json()["message"] == SIGNED_BY_NOBODY


def test_key_sets_that_cannot_be_read_end_the_start(dsn: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    for place in (tmp_path / "none.json", bad, "http://keys.example/jwks.json"):
        with pytest.raises(InputError, match="TWO_TOWER_JWT_JWKS"):
            create_app(with_keys(dsn, jwt_jwks=str(place)))


def test_a_url_of_keys_that_is_away_is_no_forgery(dsn: str) -> None:
    with serving(with_keys(dsn, jwt_secret=None, jwt_jwks="http://127.0.0.1:1/x")) as client:
        sent = token(secret=RSA, algorithm="RS256", headers={"kid": "rsa"})
        answer = ask(client, "recommend_for_me", bearer(sent))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert ask(client, "similar_users", bearer(KEY)).status_code == 200


@pytest.fixture(scope="module")
def keyless(dsn: str) -> Iterator[httpx.Client]:
    settings = make_settings(
        "postgres", database_url=dsn, serve_origins="https://app.example, http://localhost:3000"
    )
    with serving(settings) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:8000", 200),
        ("rebound.example", 403),
        ("localhost.rebound.example", 403),
        ("localhost@rebound.example", 403),
        ("127.0.0.1.rebound.example:8000", 403),
        ("rebound.example#localhost", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_without_keys_a_name_that_was_rebound_is_refused(
    keyless: httpx.Client, host: str, status: int
) -> None:
    for path in ("/v1/popular_videos", "/healthz", "/metrics"):
        assert keyless.get(path, headers={"Host": host}).status_code == status


def test_without_keys_a_page_of_another_origin_is_refused(keyless: httpx.Client) -> None:
    own = str(keyless.base_url).rstrip("/")
    for origin, status in (
        (own, 200),
        ("https://app.example", 200),
        ("http://localhost:3000", 200),
        ("http://localhost:3001", 403),
        ("https://app.example.evil.example", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ):
        for answer in (
            keyless.get("/v1/popular_videos", headers={"Origin": origin}),
            keyless.post("/v1/popular_videos", json={}, headers={"Origin": origin}),
        ):
            assert answer.status_code == status, origin
            allowed = answer.headers.get("access-control-allow-origin")
            assert allowed == (origin if status == 200 and origin != own else None)


def test_a_page_of_a_named_origin_may_ask_with_a_token(dsn: str) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    with serving(with_keys(dsn, serve_origins="https://app.example")) as client:
        before = client.options("/v1/record_event", headers=asked)
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == "https://app.example"
        other = client.options("/v1/record_event", headers=asked | {"Origin": "https://x.example"})
        assert "access-control-allow-origin" not in other.headers
        refused = client.get("/v1/recommend_for_me", headers={"Origin": "https://app.example"})
        # Or the page could not read why.
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
    with serving(with_keys(dsn)) as client:
        assert (
            "access-control-allow-origin"
            not in client.options("/v1/record_event", headers=asked).headers
        )


def test_what_tells_of_the_server_is_for_a_service(client: httpx.Client) -> None:
    for headers, status in (({}, 401), (bearer(token()), 403), (bearer(KEY), 200)):
        assert client.get("/metrics", headers=headers).status_code == status
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert client.get(path).status_code == 200
    for path in ("/docs", "/redoc"):
        assert client.get(path).status_code == 404


def test_an_audience_without_keys_of_tokens_is_refused(dsn: str) -> None:
    settings = make_settings("postgres", database_url=dsn, api_keys=KEY, jwt_audience="videos")
    with pytest.raises(InputError, match="TWO_TOWER_JWT_AUDIENCE") as refused:
        create_app(settings)
    assert "TWO_TOWER_JWT_SECRET or TWO_TOWER_JWT_JWKS" in refused.value.hint


def test_a_host_of_others_needs_a_key(dsn: str) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        with pytest.raises(InputError, match="whoever asks is a service") as refused:
            serve(make_settings("postgres", database_url=dsn), host, 0)
        assert "TWO_TOWER_API_KEYS" in refused.value.hint


def test_settings_that_would_open_the_door_are_refused(dsn: str) -> None:
    with pytest.raises(InputError, match="TWO_TOWER_SERVE_ORIGINS"):
        create_app(make_settings("postgres", database_url=dsn, serve_origins="*"))
    for field, value in (
        ("api_keys", ","),
        ("api_keys", "  "),
        ("api_keys", "short"),
        ("api_keys", f"{KEY},short"),
        ("jwt_secret", "a secret of 31 bytes, too short"),
        ("serve_origins", "app.example"),
        ("serve_origins", "https://app.example/page"),
    ):
        with pytest.raises(ValueError, match=field):
            with_keys(dsn, **{field: value})


def test_the_tiers_are_those_of_the_database(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select name, tier from two_tower.app_functions() where tier <> 'owner'"
        ).fetchall()
    assert {f"public.{name}": function.tier for name, function in FUNCTIONS.items()} == dict(rows)
