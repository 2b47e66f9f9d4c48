"""Reads the registry: which versions there are, and verified copies of their files."""

from __future__ import annotations

import gzip
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from two_tower.artifacts.descriptions import (
    LATEST,
    LATEST_JSON,
    Kind,
    expected_sha256,
    file_of,
    json_of,
    parse,
)
from two_tower.artifacts.storage import (
    CorruptFileError,
    Storage,
    look,
    sha256_of,
    temporary_beside,
    user_cache_dir,
)
from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings

VERSION_JSON = re.compile(r"two_tower_(\d{8}_\d{6})\.json")
VERSIONED = re.compile(r"two_tower_(\d{8}_\d{6})\.(?:json|onnx|pt\.gz)")

logger = logging.getLogger("two_tower")


@dataclass(frozen=True)
class Artifact:
    """A verified local copy of a model file, and its description.

    Attributes:
        version: ``YYYYMMDD_HHMMSS``.
        meta: the JSON beside the file: version, trained_at, dim, loss, metrics,
            input_schema_version, layout_hash, model_meta (layout, vocabulary sizes) and sha256
            (of each file).
        path: the file. It is named after its sha256 and never changes.
    """

    version: str
    meta: dict[str, Any]
    path: Path


class RegistryReader:
    """Reads the models of a project, in a folder or behind any fsspec URL.

    Args:
        settings: ``registry_url`` and ``registry_options`` say where.
    """

    def __init__(self, settings: Settings) -> None:
        url = settings.registry_url
        if "://" not in url:
            url = str(settings.path(Path(url)))
        cache_dir = settings.path(Path("data/cache/models"))
        self.storage = Storage(f"{url.rstrip('/')}/models", settings.registry_options, cache_dir)

    @classmethod
    def at(cls, url: str, options: Mapping[str, Any] | None = None) -> Self:
        """Return the registry at a folder or fsspec URL, without a project around it.

        Args:
            url: what ``registry_url`` says, or its folder ``models`` itself.
            options: fsspec storage options.
        """
        folder = url.rstrip("/").removesuffix("/models")
        if "://" not in folder:
            folder = str(Path(folder).resolve())
        registry = cls.__new__(cls)
        registry.storage = Storage(f"{folder}/models", dict(options or {}), user_cache_dir())
        return registry

    def versions(self) -> list[str]:
        """Return the published versions, the oldest first."""
        matches = (VERSION_JSON.fullmatch(name) for name in self.storage.names())
        return sorted(match[1] for match in matches if match)

    def stored_versions(self) -> list[str]:
        """Return the versions with at least one file, complete or not, the oldest first."""
        matches = (VERSIONED.fullmatch(name) for name in self.storage.names())
        return sorted({match[1] for match in matches if match})

    def latest_version(self) -> str | None:
        """Return the version of ``latest``; None if there is none or it is damaged."""
        try:
            return str(self._describe(LATEST_JSON)["version"])
        except (FileNotFoundError, CorruptFileError):
            return None

    def latest_is_whole(self) -> bool:
        """Return whether all files that latest.json names exist with the sha256 that it has."""
        try:
            named: dict[str, str] = self._describe(LATEST_JSON)["sha256"]
            return all(sha256_of(self.storage.read(name)) == sha for name, sha in named.items())
        except (FileNotFoundError, CorruptFileError):
            return False

    def feature_file(self, name: str) -> Path | None:
        """Return a verified copy of a feature file of the latest; None if there is none."""
        try:
            return self.storage.fetch(name, self._describe(LATEST_JSON)["sha256"][name])
        except (FileNotFoundError, KeyError):
            return None

    def latest(self) -> dict[str, Any]:
        """Return the description of the latest model.

        If ``two_tower_latest.json`` is damaged: that of the newest version with an intact one.

        Raises:
            NotEnoughDataError: nothing has been published yet.
            CorruptFileError: no description can be trusted.
        """
        reasons: list[str] = []
        for meta, _ in self._candidates(reasons):
            _warn(reasons, meta["version"])
            return meta
        raise self._unusable(reasons)

    def describe(self, version: str) -> dict[str, Any]:
        """Return the description of one version.

        Raises:
            InputError: there is no such version.
            CorruptFileError: its JSON is damaged.
        """
        try:
            return self._describe(json_of(version))
        except FileNotFoundError as error:
            raise InputError(
                f"version {version} is not in the registry at {self.storage.url}",
                f"published versions: {', '.join(self.versions()) or 'none'}",
            ) from error

    def fetch(self, version: str | None = None, kind: Kind = "onnx") -> Artifact:
        """Return a verified local copy of a model, by default of the latest.

        Without a version, ``latest`` is tried first, then the versioned files of the same version,
        then older versions, then newer ones, which were rolled back. The first with the right
        sha256 is returned, with a warning that says what was wrong.

        Raises:
            NotEnoughDataError: nothing has been published yet.
            InputError: there is no such version.
            CorruptFileError: no file can be trusted.
            UnavailableError: the storage did not answer.
        """
        if version is not None:
            meta = self.describe(version)
            return Artifact(version, meta, self._fetchfile_of(meta, kind))
        reasons: list[str] = []
        for meta, is_latest in self._candidates(reasons):
            try:
                if is_latest:
                    path = self.storage.fetch(LATEST[kind], expected_sha256(meta, LATEST[kind]))
                else:
                    path = self._fetchfile_of(meta, kind)
            except CorruptFileError as error:
                reasons.append(str(error))
                continue
            _warn(reasons, meta["version"])
            return Artifact(meta["version"], meta, path)
        raise self._unusable(reasons)

    def read_version(self, version: str) -> dict[Kind, bytes]:
        """Return the verified files of a version, read from the storage and not from the cache.

        Raises:
            InputError: there is no such version.
            CorruptFileError: a file is not what its JSON says.
            UnavailableError: the storage did not answer.
        """
        meta, files = self.describe(version), {}
        kinds: tuple[Kind, Kind] = ("onnx", "pkl")
        for kind in kinds:
            name = file_of(version, kind)
            try:
                files[kind] = self.storage.read(name)
            except FileNotFoundError as error:
                raise CorruptFileError(f"{self.storage.url}/{name} does not exist") from error
            if sha256_of(files[kind]) != expected_sha256(meta, name):
                raise CorruptFileError(
                    f"{self.storage.url}/{name} is not the file that was published:"
                    f" {look(files[kind][:64])}",
                    f"two-tower export --version {version} writes it again",
                )
        return files

    def _candidates(self, reasons: list[str]) -> Iterator[tuple[dict[str, Any], bool]]:
        """Yield descriptions in the order to try them, and whether each is that of ``latest``."""
        current = None
        try:
            meta = self._describe(LATEST_JSON)
            current = meta["version"]
            yield meta, True
        except (CorruptFileError, FileNotFoundError) as error:
            reasons.append(_reason(error, f"{self.storage.url}/{LATEST_JSON}"))
        newest_first = self.versions()[::-1]
        if current is not None:
            rolled_back = [version for version in newest_first if version > current]
            newest_first = [v for v in newest_first if v <= current] + rolled_back
        for version in newest_first:
            try:
                meta = self._describe(json_of(version))
            except (CorruptFileError, FileNotFoundError) as error:
                reasons.append(_reason(error, f"{self.storage.url}/two_tower_{version}.json"))
                continue
            yield meta, False

    def _describe(self, name: str) -> dict[str, Any]:
        return parse(self.storage.read(name), f"{self.storage.url}/{name}")

    def _fetchfile_of(self, meta: Mapping[str, Any], kind: Kind) -> Path:
        name = file_of(meta["version"], kind)
        path = self.storage.fetch(name, expected_sha256(meta, name))
        if kind == "onnx":
            return path
        pickle = path.with_suffix(".pkl")
        with temporary_beside(pickle) as part:
            with gzip.open(path, "rb") as packed, part.open("wb") as file:
                shutil.copyfileobj(packed, file)
            part.replace(pickle)
        return pickle

    def _unusable(self, reasons: list[str]) -> NotEnoughDataError | CorruptFileError:
        if not self.storage.names():
            return NotEnoughDataError(
                f"no model in the registry at {self.storage.url}",
                "two-tower train && two-tower export publishes one",
            )
        return CorruptFileError(
            f"no model in the registry can be trusted: {'; '.join(reasons)}",
            "two-tower export --version VERSION writes a version of runs/ again",
        )


def _reason(error: Exception, where: str) -> str:
    return f"{where} does not exist" if isinstance(error, FileNotFoundError) else str(error)


def _warn(reasons: list[str], version: str) -> None:
    if reasons:
        logger.warning("%s; using version %s instead", "; ".join(reasons), version)
