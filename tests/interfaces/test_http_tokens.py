"""Tokens where settings meet: two kinds of keys, no audience, a JWKS that is none, counts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from interfaces.http_server import bearer, serving, token, with_keys
from interfaces.test_http_access import EC, RSA, key_set
from postgres_server import PostgresServer
from serving.app_world import make_app

pytestmark = pytest.mark.xdist_group("http_tokens")

ASK = "/v1/recommend_for_me?limit=1"


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    return make_app(postgres_server, "http_tokens", slots=True)


@contextmanager
def key_server(body: list[bytes]) -> Iterator[str]:
    """A URL that answers 200 with the first of the bodies."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body[0])

        def log_message(self, *arguments: Any) -> None:
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        server.shutdown()


def of_rsa(kid: str = "rsa") -> dict[str, str]:
    return bearer(token(secret=RSA, algorithm="RS256", headers={"kid": kid}))


def test_a_url_that_answers_without_keys_is_no_forgery(dsn: str) -> None:
    body = [b""]
    with key_server(body) as url, serving(with_keys(dsn, jwt_jwks=url, serve_rate=0)) as client:
        for wrong in (
            b"<html>under maintenance</html>",
            b"\xff\xfe",
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"keys": []}',
            b'{"keys": {"a": 1}}',
            b'{"keys": ["a"]}',
            b'{"keys": [{"kty": "RSA", "kid": "rsa"}]}',
        ):
            body[0] = wrong
            answer = client.get(ASK, headers=of_rsa())
            assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1"), wrong
            assert "TWO_TOWER_JWT_JWKS" in answer.json()["message"]
            assert client.get(ASK, headers=bearer(token())).status_code == 200  # by the secret
        body[0] = json.dumps(key_set()).encode()
        assert client.get(ASK, headers=of_rsa()).status_code == 200
        # Keys that were read stay known while the URL answers something else.
        body[0] = b"<html>"
        assert client.get(ASK, headers=of_rsa()).status_code == 200
        assert client.get(ASK, headers=of_rsa("unknown")).status_code == 401


def test_a_token_with_an_audience_is_accepted_where_none_is_set(dsn: str) -> None:
    with serving(with_keys(dsn)) as client:
        for audience in ("videos", ["x", "videos"], None):
            headers = bearer(token(aud=audience))
            assert client.get(ASK, headers=headers).status_code == 200


def test_tokens_of_the_secret_and_of_public_keys_are_both_accepted(
    dsn: str, tmp_path: Path
) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(key_set()))
    with serving(with_keys(dsn, jwt_jwks=str(path), serve_rate=0)) as client:
        of_ec = bearer(token(secret=EC, algorithm="ES256", headers={"kid": "ec"}))
        for headers in (bearer(token()), of_rsa(), of_ec):
            assert client.get(ASK, headers=headers).status_code == 200
        other = token(secret="another secret, which is as long as the other")
        assert client.get(ASK, headers=bearer(other)).status_code == 401


def statuses(client: httpx.Client, headers: dict[str, str]) -> set[int]:
    return {client.get("/v1/popular_videos", headers=headers).status_code for _ in range(30)}


def test_who_tries_keys_is_counted_by_their_address(dsn: str) -> None:
    """The next one's first request is answered though another has used up a count."""
    with serving(with_keys(dsn, serve_rate=1)) as client:
        assert statuses(client, at("192.0.2.1", bearer("wrong"))) == {401, 429}
        for number in range(2, 6):
            answer = client.get(
                "/v1/popular_videos", headers=at(f"192.0.2.{number}", bearer("wrong"))
            )
            assert answer.status_code == 401


def test_a_user_who_is_called_like_an_address_has_a_count_of_their_own(dsn: str) -> None:
    with serving(with_keys(dsn, serve_rate=1)) as client:
        for number in range(6):  # a second may end between two requests, and not in all pairs
            address = f"192.0.2.{number}"
            visitor = client.get("/v1/popular_videos", headers=at(address))
            user = client.get("/v1/popular_videos", headers=bearer(token(address)))
            assert (visitor.status_code, user.status_code) == (200, 200)


def at(address: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    """Headers of a client behind a proxy of this machine."""
    return {"X-Forwarded-For": address, **(headers or {})}
