"""The project's Prefect server: its URL, and whether it answers.

Prefect's settings name the URL: the environment, then ``.env``, ``prefect.toml`` (written by ``make
prefect PORT=…``) and ``pyproject.toml``. Prefect reads these files in the current folder only, so a
command that is typed below the project first changes to the project's folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from dotenv import dotenv_values

from two_tower.core import loopback
from two_tower.core.errors import InputError, UnavailableError
from two_tower.core.settings import Settings

# Seconds: a busy server may take long to answer, and not to accept a connection.
TIMEOUT = httpx.Timeout(30, connect=5)
# What a reverse proxy answers for a server that is down.
GATEWAY = (502, 503, 504)
OTHER = "name one of this version, or install the version that it has"
LOGIN = "set PREFECT_API_AUTH_STRING=user:password in the environment or in .env"


def find(settings: Settings) -> str:
    """Return the URL of the API, and change to the project's folder.

    Raises:
        InputError: no setting names a server; Prefect would start a temporary one.
    """
    os.chdir(settings.project_dir)
    os.environ.update(loopback.without_proxy(os.environ))
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    refresh_global_settings_context()  # they may have been read in another folder
    api = get_current_settings().api.url
    if not api:
        raise InputError(
            "no setting names a Prefect server, and one that Prefect starts by itself knows no"
            " deployment and is gone with the command",
            "set PREFECT_API_URL in the environment or in .env",
        )
    return str(api).rstrip("/")


def answers(api: str) -> bool:
    """Return whether a Prefect server answers.

    Raises:
        InputError: what answers is not a Prefect server, or the URL is malformed.
    """
    try:
        answer = httpx.get(f"{api}/health", timeout=TIMEOUT)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return False
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InputError(
            f"{api} is not the URL of a server: {error}", f"fix {named_by()}"
        ) from error
    except httpx.HTTPError as error:
        raise _stranger(api, str(error) or type(error).__name__) from error
    if answer.status_code in GATEWAY:
        return False
    # 401 and 403: a login is wanted, which the client reports.
    if answer.status_code in (401, 403) or answer.text.strip() == "true":
        return True
    kind = answer.headers.get("content-type", "an answer of no type")
    raise _stranger(api, f"HTTP {answer.status_code}, {kind}")


def require(api: str) -> None:
    """Check that a Prefect server answers.

    Raises:
        UnavailableError: nothing answers.
        InputError: something else does.
    """
    if answers(api):
        return
    hint = (
        "make prefect starts it, in a terminal of its own"
        if loopback.is_loopback(api)
        else "is it running? PREFECT_API_URL, in the environment or in .env, may name another"
    )
    raise UnavailableError(f"no Prefect server answers at {api} ({named_by()})", hint)


def named_by() -> str:
    """Return the variable or file that names the server; call it in the project's folder."""
    if os.environ.get("PREFECT_API_URL"):
        return "PREFECT_API_URL of the environment"
    if dotenv_values(".env").get("PREFECT_API_URL"):
        return "PREFECT_API_URL in .env"
    own = Path("prefect.toml")
    return str(own) if own.exists() else "pyproject.toml"


@contextmanager
def connected(settings: Settings) -> Iterator[Any]:
    """Open a client of the project's server.

    Yields:
        Prefect's ``SyncPrefectClient``.

    Raises:
        UnavailableError: the server does not answer, or stopped answering.
        InputError: no setting names one, what answers is not Prefect 3, or it wants a login.
    """
    api = find(settings)
    require(api)
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            try:
                client.raise_for_api_version_mismatch()
            except RuntimeError as error:
                if isinstance(error.__cause__, httpx.HTTPError):
                    raise error.__cause__ from None
                raise InputError(f"the Prefect server at {api}: {error}", OTHER) from error
            yield client
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            raise InputError(f"the Prefect server at {api} wants a login", LOGIN) from error
        said = str(error).splitlines()[0]
        raise UnavailableError(
            f"the Prefect server at {api}: {said}", "its log says why"
        ) from error
    except httpx.HTTPError as error:
        raise UnavailableError(f"the Prefect server at {api} went away: {error!r}") from error


def _stranger(api: str, what: str) -> InputError:
    if not api.endswith("/api"):
        hint = f"the API of a Prefect server ends in /api: fix {named_by()}"
    elif loopback.is_loopback(api):
        free = loopback.free_port(port(api))
        hint = f"give this project's server a port of its own: make prefect PORT={free}"
    else:
        hint = f"is the address right? {named_by()} says so"
    return InputError(f"what answers at {api} is not a Prefect server ({what})", hint)


def port(api: str) -> int:
    """Return the port of the API."""
    place = urlsplit(api)
    return place.port or {"http": 80, "https": 443}[place.scheme]
