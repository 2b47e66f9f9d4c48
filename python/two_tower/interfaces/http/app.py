"""The app that ``two-tower serve`` runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.cors import CORSMiddleware

from two_tower import __version__
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.database.dsn import target_dsn
from two_tower.interfaces.http import errors, models
from two_tower.interfaces.http.access import Access, WhoAsks
from two_tower.interfaces.http.database import Database
from two_tower.interfaces.http.explorer import make_router as explorer_router
from two_tower.interfaces.http.functions import read_functions
from two_tower.interfaces.http.guard import Guard
from two_tower.interfaces.http.head import Head
from two_tower.interfaces.http.observe import Metrics, Observer
from two_tower.interfaces.http.routes import add_routes

# A probe is asked again soon: it need not wait for a machine that is gone.
RELEASE_SECONDS = 1.5
READY_SECONDS = 1
RELEASE = "select release_id from public.popular_videos('all', p_limit => 1)"


def create_app(settings: Settings) -> FastAPI:
    """Return the app: ``/v1/…``, ``/healthz``, ``/readyz``, ``/metrics``, ``/openapi.json``.

    Its pool is open while it runs; ``app.state.database`` is it.

    Raises:
        InputError: the target is DuckDB, or a setting does not fit the others, or names a file
            that cannot be read.
    """
    if settings.target == "duckdb":
        raise InputError("two-tower serve needs Postgres", "set TWO_TOWER_TARGET to embedded")
    if "*" in settings.serve_origins and not settings.has_keys:
        raise InputError(
            "TWO_TOWER_SERVE_ORIGINS is *, and whoever asks is a service",
            "set TWO_TOWER_API_KEYS too, or name the origins",
        )
    if settings.jwt_audience and not (settings.jwt_secret or settings.jwt_jwks):
        raise InputError(
            "TWO_TOWER_JWT_AUDIENCE is set, and nothing that a token could be checked with",
            "set TWO_TOWER_JWT_SECRET or TWO_TOWER_JWT_JWKS too, or leave it out",
        )
    database = Database(target_dsn(settings), settings.serve_connections, settings.serve_timeout)
    access = Access(settings)
    metrics = Metrics(database.pool.get_stats)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with database.opened():
            yield

    # Its pages of documentation need a CDN.
    app = FastAPI(
        title="two-tower",
        version=__version__,
        description="Video recommendations: each call of the database, over HTTP.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,  # a redirect has no JSON, and a POST is lost on its way
    )
    app.state.database = database
    errors.install(app)
    add_routes(app, read_functions(settings.project_dir), database)
    app.include_router(explorer_router(settings, database))
    _add_state(app, database, metrics)
    _describe(app)
    app.add_middleware(Head)
    app.add_middleware(Guard, settings=settings, access=access)
    if settings.serve_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.serve_origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("Authorization", "Content-Type", "If-None-Match"),
            expose_headers=("ETag", "Retry-After"),
        )
    app.add_middleware(Observer, metrics=metrics)
    return app


class _Kept:
    """The last answer about the release, for a second.

    Strangers may ask as often as they like: they hold one connection together.
    """

    def __init__(self, ask: Callable[[], Awaitable[int | None]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._found: int | errors.RefusalError | None = None

    async def get(self) -> int | None:
        """Return the release that serves.

        Raises:
            RefusalError: the database does not answer.
        """
        async with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._found = await self._ask()
                except errors.RefusalError as refusal:
                    self._found = refusal
                self._until = time.monotonic() + READY_SECONDS
        if isinstance(self._found, errors.RefusalError):
            raise self._found.with_traceback(None)
        return self._found


def _add_state(app: FastAPI, database: Database, metrics: Metrics) -> None:
    """Add what a load balancer and Prometheus ask."""

    async def release_id() -> int | None:
        asked = asyncio.ensure_future(database.rows(RELEASE))
        asked.add_done_callback(lambda task: task.cancelled() or task.exception())
        done, _ = await asyncio.wait({asked}, timeout=RELEASE_SECONDS)
        if not done:
            asked.cancel()  # not awaited: a cancel waits for the database, too
            raise errors.away()
        rows = asked.result()
        return rows[0]["release_id"] if rows else None

    readiness = _Kept(release_id)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> dict[str, Any]:
        found = await readiness.get()
        if found is None:
            raise errors.unavailable("no release serves yet", "type two-tower run", "57P03")
        return {"status": "ready", "release_id": found}

    @app.get("/metrics", include_in_schema=False)
    async def prometheus(caller: WhoAsks) -> Response:
        caller.require("service")
        try:
            metrics.release_id = await release_id()
        except errors.RefusalError:
            metrics.release_id = None
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _describe(app: FastAPI) -> None:
    """Add to /openapi.json what all routes share."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        schema = made()
        parts = schema.setdefault("components", {})
        parts.setdefault("schemas", {})["Error"] = models.ERROR
        parts["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "an API key, or a JWT"}
        }
        schema["security"] = [{}, {"key": []}]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
