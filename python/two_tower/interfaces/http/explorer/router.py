"""The routes of the explorer: its page, pictures of videos, and what the page reads besides /v1."""

# Not `from __future__ import annotations`: FastAPI reads the types of what is made here.
import math
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from psycopg.types.json import Jsonb
from pydantic import BaseModel, Field

from two_tower.core.errors import BusyError, GateError, NotEnoughDataError, NotOwnerError
from two_tower.core.settings import Settings
from two_tower.interfaces import pictures
from two_tower.interfaces.http.access import WhoAsks
from two_tower.interfaces.http.database import Database
from two_tower.interfaces.http.errors import RefusalError, forbidden, of_database
from two_tower.interfaces.http.explorer import files
from two_tower.interfaces.http.explorer.catalogue_map import CatalogueMap
from two_tower.operations import health, monitor, pipeline
from two_tower.serving.versions import releases

# Nothing of the kind has been built yet.
UNBUILT = ("42P01", "3F000")
NOT_GRANTED = "42501"  # a role that is not the owner serves: it has the functions alone
DAY = {"Cache-Control": "public, max-age=86400"}
sql = files.read_sql("queries")
PRIVATE = {"Cache-Control": "private, no-store", **files.SHUT}


class Lists(BaseModel):
    """The arguments of recommend_videos, for both releases."""

    user_id: Annotated[str, Field(max_length=500)]
    limit: Annotated[int, Field(ge=0, le=100)] = 20
    exclude_seen: bool = True
    filter: dict[str, Any] = {}
    diversity: Annotated[float, Field(ge=0, le=1)] = 0
    rotation: Annotated[float, Field(ge=0, le=1)] = 0


class Rollback(BaseModel):
    """What the page shows as serving: a rollback of anything else is refused."""

    serving_version: str


def make_router(settings: Settings, database: Database) -> APIRouter:
    """Return the routes. Those that name people or change what serves are for services alone."""
    router = APIRouter(include_in_schema=False)
    _add_files(router, settings)
    _add_me(router, settings, database)
    service = APIRouter(prefix="/explorer/api", dependencies=[Depends(_service)])
    _add_people(service, database)
    _add_videos(service, database)
    _add_health(service, settings, database)
    _add_releases(service, settings, database)
    router.include_router(service)
    return router


def _service(caller: WhoAsks, response: Response) -> None:
    caller.require("service")
    response.headers.update(PRIVATE)


def _add_files(router: APIRouter, settings: Settings) -> None:
    found = files.read_files(settings.has_keys)
    policy = {"Content-Security-Policy": files.page_policy(settings.serve_images)}

    @router.get("/")
    async def page(request: Request) -> Response:
        return found["index.html"].response(request, policy)

    @router.get("/explorer/static/{name}")
    async def static(request: Request, name: str) -> Response:
        if name not in found:
            raise RefusalError(404, "there is no such file")
        return found[name].response(request)

    @router.get(pictures.PATH)
    async def picture(
        title: Annotated[str, Query(max_length=2000)] = "",
        maker: Annotated[str, Query(max_length=500)] = "",
    ) -> Response:
        headers = {"Content-Security-Policy": files.PICTURE_POLICY, **files.SHUT, **DAY}
        return Response(pictures.poster(title, maker), headers=headers, media_type="image/svg+xml")


def _add_me(router: APIRouter, settings: Settings, database: Database) -> None:
    @router.get("/explorer/api/me")
    async def me(caller: WhoAsks, response: Response) -> dict[str, Any]:
        """Return who asks and, to a service, which releases there are."""
        response.headers.update(PRIVATE)
        found: list[dict[str, Any]] = []
        if caller.tier == "service":
            found = await _rows_if(database, sql["releases"], (*UNBUILT, NOT_GRANTED)) or []
        return {
            "tier": caller.tier,
            "needs_key": settings.has_keys,
            "images": settings.serve_images,
            "previous": found[1] if len(found) > 1 else None,
        }


def _add_people(router: APIRouter, database: Database) -> None:
    @router.get("/people")
    async def people(q: Annotated[str, Query(max_length=500)] = "") -> list[dict[str, Any]]:
        return await _rows(database, sql["people"], {"q": q})

    @router.get("/person")
    async def person(user_id: Annotated[str, Query(max_length=500)]) -> dict[str, Any]:
        (found,) = await _rows(database, sql["person"], {"user_id": user_id})
        history = await _rows(database, sql["history"], {"user_id": user_id})
        count = history[0]["history_count"] if history else 0
        return {**found, "history": history, "history_count": count}

    @router.post("/two_lists")
    async def two_lists(asked: Lists) -> dict[str, Any]:
        values = {**asked.model_dump(), "filter": Jsonb(asked.filter)}
        rows = await _rows(database, sql["two_lists"], values)
        known = await _rows(database, sql["releases"])
        versions = {"serving": known[0]["version"], "previous": known[-1]["version"]}
        return {
            name: {
                "version": version,
                "videos": [row for row in rows if row["of_release"] == name],
            }
            for name, version in versions.items()
        }

    @router.get("/choices")
    async def choices() -> dict[str, Any]:
        rows = await _rows(database, sql["choices"])
        return {f"{kind}s": [r for r in rows if r["kind"] == kind] for kind in ("maker", "tag")}


def _add_videos(router: APIRouter, database: Database) -> None:
    drawn = CatalogueMap(str(database.pool.conninfo))

    @router.get("/videos")
    async def videos(q: Annotated[str, Query(max_length=500)] = "") -> list[dict[str, Any]]:
        return await _rows(database, sql["videos"], {"q": q})

    @router.get("/video")
    async def video(video_id: UUID) -> dict[str, Any]:
        rows = await _rows(database, sql["video"], {"video_id": video_id})
        if not rows:
            raise RefusalError(404, f"{video_id} is no video of the catalogue")
        return rows[0]

    @router.get("/likers")
    async def likers(video_id: UUID) -> list[dict[str, Any]]:
        return await _rows(database, sql["likers"], {"video_id": video_id})

    @router.get("/map")
    async def catalogue_map(request: Request) -> Response:
        try:
            tag, body = await run_in_threadpool(drawn.read)
        except psycopg.Error as error:
            refusal = of_database(error, database.seconds)
            raise _of_tables(refusal) if refusal else error from error
        headers = {"ETag": tag, **PRIVATE, "Cache-Control": "private, no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/octet-stream")


def _add_health(router: APIRouter, settings: Settings, database: Database) -> None:
    figures = files.read_sql("figures")

    @router.get("/health")
    async def verdict() -> dict[str, Any]:
        try:
            found = await run_in_threadpool(health.health, settings)
        except NotOwnerError as error:
            raise forbidden(str(error), error.hint) from error
        verdicts = monitor.verdicts(found, settings.monitor, monitor.utc_now())
        return {**monitor.summary(verdicts), "facts": found}

    @router.get("/figures/{name}")
    async def figure(name: str) -> dict[str, Any]:
        if name not in figures:
            raise RefusalError(404, "there is no such figure", f"one of {', '.join(figures)}")
        rows = await _rows_if_built(database, figures[name])
        return {"sql": figures[name], "rows": None if rows is None else [_finite(r) for r in rows]}


def _add_releases(router: APIRouter, settings: Settings, database: Database) -> None:
    @router.get("/releases")
    async def versions() -> dict[str, Any]:
        history = await _rows_if_built(database, sql["history_of_releases"]) or []
        metrics = await _rows_if_built(database, sql["metrics"]) or []
        return {
            "versions": await run_in_threadpool(releases, settings),
            "history": history,
            "metrics": [_finite(row) for row in metrics],
            "can_roll_back": len(history) > 1 and not history[0]["is_rollback"],
        }

    @router.get("/changes")
    async def changes() -> dict[str, Any]:
        (found,) = await _rows_if_built(database, sql["changes"]) or [{"users": 0}]
        return found

    @router.post("/rollback")
    async def rollback(request: Request, asked: Rollback) -> pipeline.Summary:
        """Put the release before back, as ``two-tower rollback`` does."""
        _check_origin(request)
        serving = await _rows(database, sql["releases"])
        if not serving or serving[0]["version"] != asked.serving_version:
            raise RefusalError(409, "another release serves by now", "load the page anew, and look")
        try:
            return await run_in_threadpool(pipeline.run_step, "rollback", settings)
        except (BusyError, GateError, NotEnoughDataError) as error:
            raise RefusalError(409, str(error), error.hint) from error


def _check_origin(request: Request) -> None:
    """Let no page but our own change what serves, whichever origins may ask the rest.

    Raises:
        RefusalError: 403.
    """
    host = request.headers.get("host", "")
    if request.headers.get("origin") not in (f"http://{host}", f"https://{host}"):
        raise forbidden(
            "a release is rolled back from the explorer's own page alone",
            "from elsewhere type two-tower rollback",
        )


async def _rows_if_built(database: Database, statement: str) -> list[dict[str, Any]] | None:
    """Return the rows of a query; None where a table of it is not there yet."""
    return await _rows_if(database, statement, UNBUILT)


async def _rows_if(
    database: Database, statement: str, unless: tuple[str, ...]
) -> list[dict[str, Any]] | None:
    """Return the rows of a query; None if it is refused with one of some SQLSTATEs."""
    try:
        return await database.rows(statement)
    except RefusalError as refusal:
        if refusal.code in unless:
            return None
        raise _of_tables(refusal) from refusal


async def _rows(
    database: Database, statement: str, values: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a query of the owner's tables."""
    try:
        return await database.rows(statement, values)
    except RefusalError as refusal:
        raise _of_tables(refusal) from refusal


def _of_tables(refusal: RefusalError) -> RefusalError:
    """Return what a refused query of the owner's tables is: more than a grant is missing."""
    if refusal.code != NOT_GRANTED:
        return refusal
    told = NotOwnerError(refusal.message)
    return forbidden(str(told), told.hint)


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has neither NaN nor infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
