"""``/v1/…``: a route for each function, made from its declaration.

FastAPI's own reading of arguments was the largest part of a route's time; the models that describe
them in OpenAPI read them here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from hashlib import blake2b
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from two_tower.interfaces.http import models
from two_tower.interfaces.http.access import Caller
from two_tower.interfaces.http.database import Database
from two_tower.interfaces.http.errors import (
    RefusalError,
    bad_argument,
    forbidden,
    of_arguments,
    unauthorized,
)
from two_tower.interfaces.http.functions import Function

T = TypeVar("T")

# Its arguments say what somebody likes.
PERSONAL = {"recommend_for_likes"}
GONE = 499  # nginx's: the client has closed the connection
REFUSALS = {
    401: "no key, or one that is not valid",
    403: "the key's tier may not ask this",
    413: "the body is too large",
    415: "the body is not application/json",
    422: "an argument is wrong; the message names it",
    429: "too many requests; Retry-After says when to come again",
    503: "the database is away, or has no release yet; Retry-After says when to come again",
    504: "the statement took too long",
}


class _Route(APIRoute):
    """A route whose endpoint takes the request itself: FastAPI reads no argument for it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint."""
        return self.endpoint


def add_routes(app: FastAPI, functions: list[Function], database: Database) -> None:
    """Add POST for each function, and GET too where it only reads."""
    for function in functions:
        _add(app, function, database)


def _add(app: FastAPI, function: Function, database: Database) -> None:
    in_query = models.arguments(function, of_query=True)
    in_body = models.arguments(function, of_query=False)
    lists = {argument.name for argument in function.arguments if argument.is_list}

    async def get(request: Request) -> Response:
        try:
            arguments = in_query.model_validate(_query(request, lists))
        except ValidationError as error:
            raise of_arguments(error, function) from None
        body, is_personal = await _answer(request, function, database, arguments)
        return _private(body) if is_personal else _cacheable(request, body)

    async def post(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        # A form's type: a page of another site could send it unasked.
        if kind != "application/json":
            raise RefusalError(415, "the body is not application/json", "send a JSON object")
        try:
            arguments = in_body.model_validate_json(await request.body())
        except ValidationError as error:
            raise of_arguments(error, function) from None
        body, _ = await _answer(request, function, database, arguments)
        return _private(body)

    options: dict[str, Any] = {
        "route_class_override": _Route,
        "summary": function.name,
        "description": f"{function.about}\n\nTier: {function.tier}.",
        "tags": [function.tier],
        "response_class": Response,
        "responses": _responses(function),
    }
    path, name, add = f"/v1/{function.name}", function.name, app.router.add_api_route
    if not function.writes:
        of_query = {"parameters": models.parameters(in_query)}
        add(path, get, methods=["GET"], operation_id=name, openapi_extra=of_query, **options)
        name += "_post"
    of_body = {"requestBody": models.request_body(in_body)}
    add(path, post, methods=["POST"], operation_id=name, openapi_extra=of_body, **options)


def _query(request: Request, lists: set[str]) -> dict[str, Any]:
    """Return the arguments of a query string; a key that is repeated is a list."""
    found: dict[str, Any] = {}
    try:
        text = request.scope["query_string"].decode("ascii")
        for name, value in parse_qsl(text, keep_blank_values=True, errors="strict"):
            if name in lists:
                found.setdefault(name, []).append(value)
            elif name in found:
                raise bad_argument(f"{name} is given twice")
            else:
                found[name] = value
    except UnicodeDecodeError:
        raise bad_argument("the query string is not percent-encoded UTF-8") from None
    return found


async def _answer(
    request: Request, function: Function, database: Database, sent: BaseModel
) -> tuple[bytes, bool]:
    """Return what the database answers, and whether it is about a person."""
    caller: Caller = request.state.caller
    caller.require(function.tier)
    arguments = {
        name: value for name in sent.model_fields_set if (value := getattr(sent, name)) is not None
    }
    _check_person(arguments, caller)
    call = database.call(function, arguments, caller)
    # What somebody did is recorded though they close the page at once.
    body = await (call if function.writes else _while_they_wait(request, call))
    return body, not _is_public(function) or "user_id" in arguments


def _is_public(function: Function) -> bool:
    """Return whether everybody gets the same answer."""
    return function.tier == "visitor" and function.name not in PERSONAL


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
    mine = asyncio.current_task()
    assert mine is not None
    watch = asyncio.ensure_future(_cancel_when_gone(request, mine))
    try:
        return await call
    except asyncio.CancelledError:
        if not watch.done():
            raise
        mine.uncancel()
        raise RefusalError(GONE, "the client has gone away") from None
    finally:
        watch.cancel()


async def _cancel_when_gone(request: Request, task: asyncio.Task[Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    task.cancel()


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
    known = [part.strip() for part in request.headers.get("if-none-match", "").split(",")]
    if "*" in known or tag in [part.removeprefix("W/") for part in known]:
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
    if _is_public(function):
        refused[304] = {"description": "the answer is that of the tag in If-None-Match"}
    return {200: found, **refused}
