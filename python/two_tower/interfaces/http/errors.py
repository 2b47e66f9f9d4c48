"""Errors as HTTP answers: ``{"code", "message", "hint"}`` and a status.

``code`` is an SQLSTATE where the database knows the error, else ``HTTP`` and the status.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from two_tower.core.errors import InputError, NotEnoughDataError, TwoTowerError, UnavailableError
from two_tower.database import database_errors
from two_tower.interfaces.http.functions import Function
from two_tower.interfaces.http.models import ABOUT

logger = logging.getLogger("two_tower.http")

RETRY_SECONDS = 1
HINT = "docs/http.md and /openapi.json have the arguments"
MISSING = (
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
)


class RefusalError(Exception):
    """An answer that is no list: the request is refused, or nothing can answer it now."""

    def __init__(
        self,
        status: int,
        message: str,
        hint: str = "",
        code: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or f"HTTP{status}"
        self.message = message
        self.hint = hint
        self.headers = dict(headers or {})
        if status in (429, 503):
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))

    def response(self) -> Response:
        """Return it as JSON."""
        body = {"code": self.code, "message": self.message, "hint": self.hint}
        return Response(
            # A lone surrogate, which UTF-8 cannot hold, is escaped.
            json.dumps(body).encode(),
            self.status,
            {"Cache-Control": "no-store", **self.headers},
            "application/json",
        )


def bad_argument(message: str, hint: str = HINT) -> RefusalError:
    """Return a refusal of what was asked for."""
    return RefusalError(422, message, hint, "22023")


def forbidden(message: str, hint: str) -> RefusalError:
    """Return a refusal of one who may not ask this."""
    return RefusalError(403, message, hint, "42501")


def unauthorized(message: str, hint: str) -> RefusalError:
    """Return a refusal of one who has to say who they are."""
    return RefusalError(401, message, hint, "28000", {"WWW-Authenticate": "Bearer"})


def unavailable(message: str, hint: str, code: str = "08006") -> RefusalError:
    """Return that nothing can answer now."""
    return RefusalError(503, message, hint, code)


def away() -> RefusalError:
    """Return that no connection can be made."""
    return unavailable("the database is away", "ask again; the server's log says why")


def maybe_stored(error: psycopg.OperationalError) -> RefusalError:
    """Return that the connection was lost under a call that writes."""
    logger.warning("the connection was lost: %s", database_errors.first_line(error))
    return unavailable(
        "the connection to the database was lost; the event may have been stored or not",
        "ask again where twice is better than never",
        error.sqlstate or "08006",
    )


def too_long(seconds: float) -> RefusalError:
    """Return that the statement was ended."""
    return RefusalError(
        504,
        f"it took longer than {seconds:g} seconds",
        "ask for less, or raise TWO_TOWER_SERVE_TIMEOUT; a record_… may have been stored or not",
        "57014",
    )


def of_database(error: Exception, seconds: float) -> RefusalError | None:
    """Return what an error of the database is over HTTP; None for a defect.

    Args:
        error: any error.
        seconds: the statement timeout.
    """
    if isinstance(error, PoolTimeout | TooManyRequests | PoolClosed):
        return unavailable(
            "no connection to the database is free",
            "is the database up? is TWO_TOWER_SERVE_CONNECTIONS too low for so many requests?",
            "53300",
        )
    if isinstance(error, TimeoutError | psycopg.errors.QueryCanceled):
        return too_long(seconds)
    if not isinstance(error, psycopg.Error):
        return None
    message = _by_name(error.diag.message_primary or database_errors.first_line(error))
    code, hint = error.sqlstate or "", _by_name(error.diag.message_hint or "")
    if isinstance(error, psycopg.DataError) or code.startswith("22"):
        return RefusalError(422, message, hint or HINT, code or "22023")
    if code == "42501":
        named = "name the server's role in the var serving_roles, then type two-tower grants"
        return forbidden(message, hint or named)
    if isinstance(error, MISSING):
        return unavailable(
            "the database has no release yet", "load a catalogue and reviews: two-tower run", code
        )
    told = database_errors.explained(error)
    if isinstance(told, UnavailableError) or isinstance(error, psycopg.OperationalError):
        logger.warning("the database did not answer: %s", database_errors.first_line(error))
        return unavailable("the database does not answer", "ask again", code or "08006")
    return None


def of_project(error: TwoTowerError) -> RefusalError:
    """Return what an error of the package is over HTTP."""
    if isinstance(error, UnavailableError | NotEnoughDataError):
        return unavailable(str(error), error.hint, "57P03")
    if isinstance(error, InputError):
        return bad_argument(str(error), error.hint)
    return RefusalError(500, str(error), error.hint, "XX000")


def _by_name(text: str) -> str:
    """Return what SQL says of ``p_limit`` as of ``limit``."""
    return re.sub(rf"\bp_({'|'.join(ABOUT)})\b", r"\1", text)


def of_arguments(
    error: RequestValidationError | ValidationError, function: Function | None = None
) -> RefusalError:
    """Return a refusal that names each argument that is wrong, of a function or another route."""
    said = []
    for problem in error.errors():
        if function is not None and problem["type"] == "extra_forbidden":
            said.append(_no_argument(str(problem["loc"][0]), function))
            continue
        place = [str(part) for part in problem["loc"] if part not in ("query", "body")]
        said.append(f"{'.'.join(place) or 'the body'}: {problem['msg']}")
    return bad_argument("; ".join(said[:5]))


def _no_argument(name: str, function: Function) -> str:
    own = ", ".join(argument.name for argument in function.arguments)
    told = f"{name} is no argument of {function.name}; its arguments are {own}"
    return f"{told}; arguments have no p_ here" if name.startswith("p_") else told


def _no_call(path: str) -> RefusalError:
    hint = "the calls are in docs/http.md and /openapi.json"
    if path.startswith("/v1/v1/"):
        hint = f"the url must not end with /v1; {hint}"
    return RefusalError(404, f"no such call: {path.removeprefix('/v1/')}", hint)


def install(app: FastAPI) -> None:
    """Answer every error of an app in JSON."""

    async def refusal(request: Request, error: Any) -> Response:
        answer: Response = error.response()
        return answer

    async def arguments(request: Request, error: Any) -> Response:
        return of_arguments(error).response()

    async def project(request: Request, error: Any) -> Response:
        return of_project(error).response()

    async def http(request: Request, error: Any) -> Response:
        if error.status_code == 404:
            return _no_call(request.url.path).response()
        message = str(error.detail or HTTPStatus(error.status_code).phrase)
        status = 422 if error.status_code == 400 else error.status_code
        code = "22023" if status == 422 else ""
        return RefusalError(status, message, HINT, code, error.headers).response()

    async def defect(request: Request, error: Exception) -> Response:
        return RefusalError(
            500, "a defect in this program", "its traceback is in the server's log", "XX000"
        ).response()

    app.add_exception_handler(RefusalError, refusal)
    app.add_exception_handler(RequestValidationError, arguments)
    app.add_exception_handler(ValidationError, arguments)
    app.add_exception_handler(TwoTowerError, project)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, defect)
