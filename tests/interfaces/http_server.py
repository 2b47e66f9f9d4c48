"""The app of ``two-tower serve`` on a port of this machine, in a thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import jwt
import psycopg
import uvicorn

from conftest import make_settings
from postgres_server import free_port
from two_tower.core.settings import Settings
from two_tower.interfaces.http.app import create_app

KEY = "a-key-of-the-tests-long-enough"
SECRET = "a secret of the tests, which is long enough"
VIDEO = "00000000-0000-0000-0000-000000000001"


def with_keys(dsn: str, **fields: Any) -> Settings:
    """Settings under which a service has a key, and users have tokens."""
    fields = {"api_keys": KEY, "jwt_secret": SECRET} | fields
    return make_settings("postgres", database_url=dsn, **fields)


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """Serve inside the block; yields a client of it."""
    port = free_port()
    config = uvicorn.Config(create_app(settings), port=port, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
        ) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def token(sub: str | None = "user_1", *, secret: Any = SECRET, algorithm: str = "HS256",
          headers: dict[str, Any] | None = None, **claims: Any) -> str:  # fmt: skip
    """A user's token; a claim that is None is left out."""
    claims = {"sub": sub, "exp": time.time() + 600} | claims
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, secret, algorithm, headers)


def bearer(sent: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sent}"}


def in_query(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as a query string has them."""
    return {k: json.dumps(v) if isinstance(v, dict) else v for k, v in arguments.items()}


def by_sql(dsn: str, function: str, **arguments: Any) -> Any:
    """What the function itself answers, as JSON has it."""
    values = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in arguments.items()}
    named = ", ".join(f"p_{name} => %({name})s" for name in values)
    named = named.replace("video_ids)s", "video_ids)s::uuid[]")
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            f"select coalesce(jsonb_agg(to_jsonb(a)), '[]') from public.{function}({named}) as a",  # type: ignore[arg-type]
            values,
        ).fetchone()[0]  # type: ignore[index]
