"""The arguments of an app's calls, checked before the database is asked."""

from __future__ import annotations

import json
import math
import operator
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from psycopg.types.json import Jsonb

from two_tower.core.errors import InputError

Id: TypeAlias = str | uuid.UUID

MAX_LIMIT, MAX_OFFSET, MAX_IDS = 1_000, 10_000, 10_000


def options(
    *,
    filter: Mapping[str, Any] | None,
    exclude: Iterable[Id],
    offset: int,
    diversity: float = 0,
    rotation: float = 0,
) -> dict[str, Any]:
    """Return the arguments that were given, checked."""
    given = {
        "p_filter": as_json(filter),
        "p_exclude": video_ids("exclude", exclude),
        "p_diversity": share("diversity", diversity),
        "p_rotation": share("rotation", rotation),
        "p_offset": whole("offset", offset, MAX_OFFSET),
    }
    return {name: value for name, value in given.items() if value}


def text(name: str, value: str) -> str:
    """Return a text that a database can hold."""
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}, of type {type(value).__name__}", "give it as text")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{name} is {value!r}", "a database holds no such character")
    return value


def flag(name: str, value: bool) -> bool:
    """Return a bool."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}", "it is True or False")
    return value


def whole(name: str, value: int, most: int) -> int:
    """Return a whole number, 0 to ``most``."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number <= most:
        raise InputError(f"{name} is {value!r}", f"it is a whole number, 0 to {most:,}")
    return number


def share(name: str, value: float) -> float:
    """Return a number, 0 to 1."""
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise InputError(f"{name} is {value!r}", "it is a number, 0 to 1")
    return number


def video_id(name: str, value: Id) -> uuid.UUID:
    """Return the id of a video."""
    if isinstance(value, uuid.UUID):
        return value
    hint = "a video id is a UUID, as text or as uuid.UUID"
    if not isinstance(value, str):
        raise InputError(f"{name}: {value!r}, of type {type(value).__name__}, is no video id", hint)
    try:
        return uuid.UUID(value.strip())
    except ValueError:
        raise InputError(f"{name}: {value!r} is no video id", hint) from None


def video_ids(name: str, values: Iterable[Id], most: int = MAX_IDS) -> list[uuid.UUID]:
    """Return the ids of videos."""
    return [video_id(name, value) for value in listed(name, values, most)]


def listed(name: str, values: Iterable[Any], most: int = MAX_IDS) -> list[Any]:
    """Return a list of at most ``most`` ids; a text is none."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{name} is {values!r}", "give a list of ids")
    listed = list(values)
    if len(listed) > most:
        raise InputError(f"{name} has {len(listed):,} ids", f"give at most {most:,}")
    return listed


def as_json(filter: Mapping[str, Any] | None) -> Jsonb | None:
    """Return a filter as JSON, UUIDs and days as text; None where it bounds nothing."""
    if filter is None:
        return None
    if not isinstance(filter, Mapping):
        raise InputError(f"filter is {filter!r}", "give a dict, such as {'price_max': 1000}")
    try:
        # NaN is no JSON.
        text = json.dumps(dict(filter), default=str, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"filter: {error}", "give a dict, such as {'price_max': 1000}") from None
    return Jsonb(json.loads(text)) if filter else None
