"""``/v1/…``: a route for each function, made from its declaration."""

# Not `from __future__ import annotations`: FastAPI reads the types of what is made here.
import asyncio
from collections.abc import Awaitable
from hashlib import blake2b
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from two_tower.interfaces.http import models
from two_tower.interfaces.http.access import Caller, WhoAsks
from two_tower.interfaces.http.database import Database
from two_tower.interfaces.http.errors import RefusalError, forbidden, unauthorized
from two_tower.interfaces.http.functions import Function

T = TypeVar("T")

# Its arguments say what somebody likes.
PERSONAL = {"recommend_for_likes"}
GONE = 499  # nginx's: the client has closed the connection
REFUSALS = {
    401: "no key, or one that is not valid",
    403: "the key's tier may not ask this",
    413: "the body is too large",
    422: "an argument is wrong; the message names it",
    429: "too many requests; Retry-After says when to come again",
    503: "the database is away, or has no release yet; Retry-After says when to come again",
    504: "the statement took too long",
}


def make_router(functions: list[Function], database: Database) -> APIRouter:
    """Return the routes: POST for each function, GET too where it only reads."""
    router = APIRouter(prefix="/v1")
    for function in functions:
        _add(router, function, database)
    return router


def _add(router: APIRouter, function: Function, database: Database) -> None:
    in_query = models.arguments(function, of_query=True)
    in_body = models.arguments(function, of_query=False)

    async def get(
        request: Request,
        caller: WhoAsks,
        arguments: Annotated[in_query, Query()],  # type: ignore[valid-type]
    ) -> Response:
        body, is_personal = await _answer(request, function, database, caller, arguments)
        return _cacheable(request, body) if not is_personal else _private(body)

    async def post(request: Request, caller: WhoAsks, arguments: in_body) -> Response:  # type: ignore[valid-type]
        body, _ = await _answer(request, function, database, caller, arguments)
        return _private(body)

    options: dict[str, Any] = {
        "summary": function.name,
        "description": f"{function.about}\n\nTier: {function.tier}.",
        "tags": [function.tier],
        "response_class": Response,
        "responses": _responses(function),
    }
    path = f"/{function.name}"
    if not function.writes:
        router.get(path, operation_id=function.name, **options)(get)
        router.post(path, operation_id=f"{function.name}_post", **options)(post)
    else:
        router.post(path, operation_id=function.name, **options)(post)


async def _answer(
    request: Request, function: Function, database: Database, caller: Caller, sent: BaseModel
) -> tuple[bytes, bool]:
    """Return what the database answers, and whether it is about a person."""
    caller.require(function.tier)
    arguments = {
        name: _value(value)
        for name in sent.model_fields_set
        if (value := getattr(sent, name)) is not None
    }
    _check_person(arguments, caller)
    call = database.call(function, arguments, caller)
    # What somebody did is recorded though they close the page at once.
    body = await (call if function.writes else _while_they_wait(request, call))
    is_personal = function.tier != "visitor" or "user_id" in arguments or function.name in PERSONAL
    return body, is_personal


def _value(value: Any) -> Any:
    """Return an argument as psycopg takes it."""
    if isinstance(value, dict):
        return Jsonb(value)
    is_vector = isinstance(value, list) and value and isinstance(value[0], float)
    return str(value) if is_vector else value


def _check_person(arguments: dict[str, Any], caller: Caller) -> None:
    """Let only a service name a person other than themselves.

    Raises:
        RefusalError: 403, for one who is not signed in 401.
    """
    if caller.tier == "service" or "user_id" not in arguments:
        return
    hint = "leave user_id out: it is the one who is signed in"
    if caller.user_id is None:
        raise unauthorized("user_id: the request is from nobody", hint)
    if arguments["user_id"] != caller.user_id:
        raise forbidden("user_id names another person than the one who calls", hint)


async def _while_they_wait(request: Request, call: Awaitable[T]) -> T:
    """Return what a call answers; cancel it, in the database too, if the client goes away."""
    work = asyncio.ensure_future(call)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise RefusalError(GONE, "the client has gone away")
        return work.result()
    finally:
        gone.cancel()
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _private(body: bytes) -> Response:
    headers = {"Cache-Control": "private, no-store"}
    return Response(body, headers=headers, media_type="application/json")


def _cacheable(request: Request, body: bytes) -> Response:
    """Return an answer that is everybody's, or that it is the one they have already.

    The tag is of the answer, which names its release: hidden and boosted videos change a list
    within a release, too.
    """
    tag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"Cache-Control": "no-cache", "ETag": tag}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or tag in [
        part.strip().removeprefix("W/") for part in known.split(",")
    ]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _responses(function: Function) -> dict[int | str, dict[str, Any]]:
    refused: dict[int | str, dict[str, Any]] = {
        status: {
            "description": text,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, text in REFUSALS.items()
    }
    found = {
        "description": "the rows, in their order" if function.columns else "the number",
        "content": {"application/json": {"schema": models.answer(function)}},
    }
    return {200: found, **refused}
