"""The descriptions in the registry: JSON files that name a version's files and confirm them.

A description holds REQUIRED and whatever else was published with it, the sha256 of every file by
its name, and a checksum of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from two_tower.artifacts.storage import CorruptFileError, look

Kind = Literal["onnx", "pkl"]

LATEST_JSON = "two_tower_latest.json"
LATEST: dict[Kind, str] = {"onnx": "two_tower_latest.onnx", "pkl": "two_tower_latest.pkl"}
FEATURE_FILES = ("user_features.parquet", "item_features.parquet")
REQUIRED = ("version", "trained_at", "dim", "loss", "metrics", "input_schema_version", "sha256")


def json_of(version: str) -> str:
    """Return the name of a version's description."""
    return f"two_tower_{version}.json"


def file_of(version: str, kind: Kind) -> str:
    """Return the name of a version's ONNX file or of its compressed pickle."""
    return f"two_tower_{version}.{'onnx' if kind == 'onnx' else 'pt.gz'}"


def parse(content: bytes, where: str) -> dict[str, Any]:
    """Return a description whose checksum and keys hold, without its checksum.

    Args:
        content: the bytes of the JSON.
        where: its URL, for the error.

    Raises:
        CorruptFileError: it is not JSON, lacks a key, or was changed.
    """
    try:
        meta = json.loads(content)
    except ValueError:
        meta = None
    if not isinstance(meta, dict):
        raise CorruptFileError(f"{where} is not JSON: {look(content[:64])}")
    missing = [key for key in REQUIRED if key not in meta]
    if missing:
        raise CorruptFileError(f"{where} lacks {', '.join(missing)}")
    if meta.pop("checksum", None) != _checksum(meta):
        raise CorruptFileError(f"{where} does not match its own checksum: it was changed")
    return meta


def sealed(meta: Mapping[str, Any]) -> bytes:
    """Return a description as bytes, with its checksum."""
    return to_json({**meta, "checksum": _checksum(meta)})


def to_json(value: Mapping[str, Any]) -> bytes:
    """Return a JSON file as the registry writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def expected_sha256(meta: Mapping[str, Any], name: str) -> str:
    """Return the sha256 that a description has of a file.

    Raises:
        CorruptFileError: it has none.
    """
    try:
        return str(meta["sha256"][name])
    except KeyError as error:
        raise CorruptFileError(f"the JSON of {meta['version']} has no sha256 of {name}") from error


def _checksum(meta: Mapping[str, Any]) -> str:
    text = json.dumps(meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
