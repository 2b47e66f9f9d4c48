"""Output: a terminal gets ``?`` for what its encoding lacks, JSON gets escapes; short numbers."""

import dataclasses
import io
import json
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO


def replace_what_cannot_be_shown() -> None:
    """Let stdout and stderr write a ``?`` for a character that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def as_json(
    value: object,
    stream: TextIO,
    indent: int | None = None,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """Return a value as JSON for a stream, with escapes if its encoding is not Unicode."""
    is_unicode = (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not is_unicode, indent=indent, default=default)


def plain(result: Any) -> dict[str, Any]:
    """Return a result dataclass as JSON-able values."""
    text = json.dumps(dataclasses.asdict(result), default=_jsonable)
    values: dict[str, Any] = json.loads(text)
    return values


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value.item()


def short(number: str) -> str:
    """Return a written number without a 0 in front of its point: ``.25``, ``-.5``; 10.25 stays."""
    return re.sub(r"^(-?)0\.", r"\1.", number)
