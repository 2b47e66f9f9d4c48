"""How a command reports a failure: a message or JSON, and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from urllib.parse import quote

from typer.exceptions import TyperException

from two_tower.core import logs, output
from two_tower.core.errors import ExitCode, TwoTowerError

INTERRUPTED = 130
DEFECT = "a defect in this program: its traceback is on stderr; two-tower --version belongs to it"
# A storage option whose name contains one of these holds a secret.
SECRET_OPTIONS = ("key", "secret", "token", "password", "credential")


def guarded(command: Callable[[], Any]) -> None:
    """Run a command; turn errors into messages and exit codes.

    With ``--json`` on the command line, ``{"error": {"message", "hint", "exit_code"}}`` is printed
    on stdout; a defect adds ``exception``. With a JSON log, the last line has the same content.
    """
    output.replace_what_cannot_be_shown()
    try:
        command()
    except TwoTowerError as error:
        _end(error.exit_code, str(error), error.hint)
    except TyperException as error:
        _end_of_wrong_arguments(error)
    except KeyboardInterrupt:
        _end(INTERRUPTED, "interrupted")
    except Exception as error:
        told = _explained(error)
        if told is not None:
            _end(told.exit_code, str(told), told.hint)
        story = _without_secrets(traceback.format_exc())
        message = _without_secrets(f"{type(error).__name__}: {error}")
        _end(ExitCode.UNEXPECTED, message, DEFECT, story)


def _explained(error: Exception) -> TwoTowerError | None:
    """Return what a person can do about an error of the database, None about any other."""
    if "psycopg" not in sys.modules:  # loading it would double the start-up time
        return None
    from two_tower.database.database_errors import explained

    return explained(error)


def _end(code: int, message: str, hint: str = "", story: str = "") -> NoReturn:
    """Report the failure on stderr and in JSON, and exit."""
    if _log_is_json():
        extra = {"hint": hint, "exit_code": int(code)} | ({"exception": story} if story else {})
        logging.getLogger("two_tower").error("%s", message, extra=extra)
    elif story:
        sys.stderr.write(story)
    else:
        from two_tower.interfaces import terminal

        terminal.error(message, hint)
    _end_in_json(code, message, hint, story)


def _end_of_wrong_arguments(error: TyperException) -> NoReturn:
    """Report a wrong argument with the command's usage, and exit."""
    from typer.rich_utils import rich_format_error

    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if context else ""
    if _log_is_json():
        _end(error.exit_code, error.format_message(), hint)
    rich_format_error(error)  # type: ignore[arg-type]
    _end_in_json(error.exit_code, error.format_message(), hint)


def _end_in_json(code: int, message: str, hint: str, story: str = "") -> NoReturn:
    """Print the error object on stdout where ``--json`` asks for it, and exit."""
    if "--json" in _options(sys.argv[1:]):
        told = {"message": message, "hint": hint, "exit_code": int(code)}
        told |= {"exception": story} if story else {}
        print(output.as_json({"error": told}, sys.stdout, indent=2))
    sys.exit(code)


def _options(arguments: list[str]) -> list[str]:
    """Return the arguments before ``--``: behind it there are no options."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _log_is_json() -> bool:
    """Configure the log, as a command that failed early has not, and return if it is JSON."""
    from two_tower.core.settings import read_log_format

    log_format = read_log_format()
    logs.configure(log_format)
    return log_format == "json"


def _without_secrets(text: str) -> str:
    """Replace passwords and keys by ``***``: the message of a defect may hold anything."""
    for secret in sorted(filter(None, _secrets()), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets() -> Iterator[str]:
    """Yield the passwords and keys that this process knows, as written and decoded."""
    from two_tower.core.settings import read_settings

    yield os.environ.get("PGPASSWORD", "")
    try:
        settings = read_settings()
    except TwoTowerError:
        return
    for name, value in settings.registry_options.items():
        if any(part in name.lower() for part in SECRET_OPTIONS):
            yield str(value)
    for secret in (*settings.api_keys, settings.jwt_secret):
        yield secret.get_secret_value() if secret is not None else ""
    if settings.database_url is not None:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        url = settings.database_url.get_secret_value()
        yield url
        try:
            password = str(conninfo_to_dict(url).get("password") or "")
        except ProgrammingError:
            return
        yield from (password, quote(password), quote(password, safe=""))
