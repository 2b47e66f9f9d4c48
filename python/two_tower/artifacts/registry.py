"""The registry of models: immutable versions, ``latest`` beside them, every read verified.

Files below ``REGISTRY_URL/models``, in the order they are written:

- ``two_tower_VERSION.onnx``, ``.pt.gz`` (the pickle, compressed), ``.json``: never changed;
- ``two_tower_latest.pkl``, ``.onnx``, ``model_meta.json``, the feature files;
- ``two_tower_latest.json``: last, so that it only ever describes what is there; and once before the
  files beside it change, naming none of those.

A JSON names the sha256 of every file and carries a checksum of its own.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from two_tower.artifacts.storage import CorruptFileError, Storage, look, sha256_of, temporary_beside
from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings

Kind = Literal["onnx", "pkl"]

LATEST_JSON = "two_tower_latest.json"
LATEST: dict[Kind, str] = {"onnx": "two_tower_latest.onnx", "pkl": "two_tower_latest.pkl"}
MODEL_META = "model_meta.json"
FEATURE_FILES = ("user_features.parquet", "item_features.parquet")
VERSION_JSON = re.compile(r"two_tower_(\d{8}_\d{6})\.json")
VERSIONED = re.compile(r"two_tower_(\d{8}_\d{6})\.(?:json|onnx|pt\.gz)")
REQUIRED = ("version", "trained_at", "dim", "loss", "metrics", "input_schema_version", "sha256")

logger = logging.getLogger("two_tower")


@dataclass(frozen=True)
class Artifact:
    """A verified local copy of a model file and the description that confirms it.

    Attributes:
        version: ``YYYYMMDD_HHMMSS``.
        meta: the JSON beside the file: version, trained_at, dim, loss, metrics,
            input_schema_version, layout_hash, model_meta (layout, vocabulary sizes) and sha256
            (of each file).
        path: the file, named after its content: it never changes.
    """

    version: str
    meta: dict[str, Any]
    path: Path


class Registry:
    """The models of a project, in a folder or behind any fsspec URL.

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
    def at(cls, url: str, options: Mapping[str, Any] | None = None) -> Registry:
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
        """Return the versions of which there is any file, whole or not, the oldest first."""
        matches = (VERSIONED.fullmatch(name) for name in self.storage.names())
        return sorted({match[1] for match in matches if match})

    def latest_version(self) -> str | None:
        """Return the version of ``latest``, None where there is none or it is damaged."""
        try:
            return str(self._describe(LATEST_JSON)["version"])
        except (FileNotFoundError, CorruptFileError):
            return None

    def latest_is_whole(self) -> bool:
        """Return whether the storage has every file that latest.json names, as it names it."""
        try:
            named: dict[str, str] = self._describe(LATEST_JSON)["sha256"]
            return all(sha256_of(self.storage.read(name)) == sha for name, sha in named.items())
        except (FileNotFoundError, CorruptFileError):
            return False

    def remove(self, version: str) -> None:
        """Remove the files of a version, its JSON first: what is not described is not there."""
        for name in (f"two_tower_{version}.json", *(_versioned(version, kind) for kind in LATEST)):
            self.storage.remove(name)

    def feature_file(self, name: str) -> Path | None:
        """Return a verified copy of a feature file of the latest, None where there is none."""
        try:
            return self.storage.fetch(name, self._describe(LATEST_JSON)["sha256"][name])
        except (FileNotFoundError, KeyError):
            return None

    def replace_feature_file(self, name: str, path: Path, rows: int) -> None:
        """Publish a feature file of the latest anew, with other rows."""
        meta = self._describe(LATEST_JSON)
        described = meta["model_meta"].get("feature_files", {})
        described = {**described, name: {**described.get(name, {}), "rows": rows, "of": rows}}
        kept = {n: s for n, s in meta["sha256"].items() if n in FEATURE_FILES and n != name}
        meta = {**meta, "model_meta": {**meta["model_meta"], "feature_files": described}}
        self._set_latest(meta["version"], meta, {name: path}, kept)

    def latest(self) -> dict[str, Any]:
        """Return the description of the latest model.

        Where ``two_tower_latest.json`` is damaged, that of the newest version whose own holds.

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
            return self._describe(f"two_tower_{version}.json")
        except FileNotFoundError as error:
            raise InputError(
                f"version {version} is not in the registry at {self.storage.url}",
                f"published versions: {', '.join(self.versions()) or 'none'}",
            ) from error

    def fetch(self, version: str | None = None, kind: Kind = "onnx") -> Artifact:
        """Return a verified local copy of a model, by default of the latest.

        Without a version a damaged ``latest`` is replaced by the versioned files of the same
        version, then by older versions, then by newer ones (those were rolled back): the first
        whose sha256 holds, with a warning that names what was wrong.

        Raises:
            NotEnoughDataError: nothing has been published yet.
            InputError: there is no such version.
            CorruptFileError: no file can be trusted.
            UnavailableError: the storage did not answer.
        """
        if version is not None:
            meta = self.describe(version)
            return Artifact(version, meta, self._fetch_versioned(meta, kind))
        reasons: list[str] = []
        for meta, is_latest in self._candidates(reasons):
            try:
                if is_latest:
                    path = self.storage.fetch(LATEST[kind], _sha256(meta, LATEST[kind]))
                else:
                    path = self._fetch_versioned(meta, kind)
            except CorruptFileError as error:
                reasons.append(str(error))
                continue
            _warn(reasons, meta["version"])
            return Artifact(meta["version"], meta, path)
        raise self._unusable(reasons)

    def read_version(self, version: str) -> dict[Kind, bytes]:
        """Return the files of a version as the storage has them now, verified: no cached copy.

        Raises:
            InputError: there is no such version.
            CorruptFileError: a file is not what its JSON says.
            UnavailableError: the storage did not answer.
        """
        meta, files = self.describe(version), {}
        kinds: tuple[Kind, Kind] = ("onnx", "pkl")
        for kind in kinds:
            name = _versioned(version, kind)
            try:
                files[kind] = self.storage.read(name)
            except FileNotFoundError as error:
                raise CorruptFileError(f"{self.storage.url}/{name} does not exist") from error
            if sha256_of(files[kind]) != _sha256(meta, name):
                raise CorruptFileError(
                    f"{self.storage.url}/{name} is not the file that was published:"
                    f" {look(files[kind][:64])}",
                    f"two-tower export --version {version} writes it again",
                )
        return files

    def publish(
        self, version: str, files: Mapping[str, Path], meta: Mapping[str, Any]
    ) -> dict[str, str]:
        """Store a model as a version and make it the latest.

        Publishing a version again leaves its versioned files as they are and renews ``latest``.

        Args:
            version: ``YYYYMMDD_HHMMSS``.
            files: ``onnx`` and ``pkl``, and any of the feature files by its name.
            meta: trained_at, dim, loss, metrics, input_schema_version, layout_hash and model_meta
                (the content of model_meta.json, the layout in it).

        Returns:
            the sha256 of every file, by its name in the registry.

        Raises:
            InputError: the version is there already with other weights.
        """
        with tempfile.TemporaryDirectory() as folder:
            compressed = Path(folder) / "pt.gz"
            _compress(files["pkl"], compressed)
            onnx_name, pickle_name = _versioned(version, "onnx"), _versioned(version, "pkl")
            sha256 = {onnx_name: sha256_of(files["onnx"]), pickle_name: sha256_of(compressed)}
            if not self._is_published(version, sha256):
                self.storage.write(onnx_name, files["onnx"])
                self.storage.write(pickle_name, compressed)
                described = _sealed({**meta, "version": version, "sha256": sha256})
                self.storage.write(f"two_tower_{version}.json", described)
        features = {name: path for name, path in files.items() if name in FEATURE_FILES}
        return self._set_latest(version, {**meta, "version": version}, features, {})

    def set_latest(self, version: str) -> dict[str, str]:
        """Make a published version the latest again, from its versioned files alone.

        Feature files made under another layout are removed: their vectors do not fit this model.
        Exporting the version again writes them anew.

        Returns:
            the sha256 of every latest file, by its name.

        Raises:
            InputError: there is no such version.
            CorruptFileError: its files do not hold what its JSON says; ``latest`` is untouched.
        """
        meta = self.describe(version)
        kept, rows = self._fitting_features(meta)
        model_meta = {**meta["model_meta"], "feature_files": rows}
        return self._set_latest(version, {**meta, "model_meta": model_meta}, {}, kept)

    def _set_latest(
        self,
        version: str,
        meta: Mapping[str, Any],
        features: Mapping[str, Path],
        kept: Mapping[str, str],
    ) -> dict[str, str]:
        published = self.describe(version)
        sources: dict[str, Path | bytes] = {
            LATEST["pkl"]: self._fetch_versioned(published, "pkl"),
            LATEST["onnx"]: self._fetch_versioned(published, "onnx"),
            MODEL_META: _json(meta["model_meta"]),
            **features,
        }
        changed = {name: sha256_of(source) for name, source in sources.items()}
        sha256 = {**published["sha256"], **kept, **changed}
        self._name_no_longer(changed, sha256)
        for name, source in sources.items():
            self.storage.write(name, source)
        self.storage.write(LATEST_JSON, _sealed({**meta, "sha256": sha256}))
        for name in set(FEATURE_FILES) - set(sha256):
            self.storage.remove(name)
        return sha256

    def _name_no_longer(self, changed: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Let latest.json name none of the files that are about to be others, or to go.

        Whoever reads it meanwhile, or after a kill, finds the versioned files, which stay.
        """
        try:
            current = self._describe(LATEST_JSON)
        except (FileNotFoundError, CorruptFileError):
            return
        named: dict[str, str] = current["sha256"]
        stays = {
            name: sha
            for name, sha in named.items()
            if changed.get(name, sha) == sha and (name in wanted or name not in FEATURE_FILES)
        }
        if stays != named:
            self.storage.write(LATEST_JSON, _sealed({**current, "sha256": stays}))

    def _fitting_features(self, meta: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Return sha256 and row counts of the feature files that have the model's layout."""
        try:
            current = self._describe(LATEST_JSON)
            model = sha256_of(self.storage.read(LATEST["onnx"]))
        except (FileNotFoundError, CorruptFileError):
            return {}, {}
        if model != current["sha256"].get(LATEST["onnx"]):
            return {}, {}  # a description of other files: what it says of these may not hold either
        if current["model_meta"]["layout"] != meta["model_meta"]["layout"]:
            return {}, {}
        kept = {name: sha for name, sha in current["sha256"].items() if name in FEATURE_FILES}
        return kept, current["model_meta"].get("feature_files", {})

    def _is_published(self, version: str, sha256: Mapping[str, str]) -> bool:
        try:
            published = self._describe(f"two_tower_{version}.json")
        except (FileNotFoundError, CorruptFileError):
            return False
        weights = _versioned(version, "pkl")
        if published["sha256"].get(weights) != sha256[weights]:
            raise InputError(
                f"version {version} is in the registry at {self.storage.url} with other weights",
                "versions never change: train again, which makes a new one",
            )
        try:
            self.read_version(version)
        except CorruptFileError:
            return False  # written again: a repair
        return True

    def _candidates(self, reasons: list[str]) -> Iterator[tuple[dict[str, Any], bool]]:
        """Yield descriptions to try, best first, and whether each is that of ``latest``."""
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
                meta = self._describe(f"two_tower_{version}.json")
            except (CorruptFileError, FileNotFoundError) as error:
                reasons.append(_reason(error, f"{self.storage.url}/two_tower_{version}.json"))
                continue
            yield meta, False

    def _describe(self, name: str) -> dict[str, Any]:
        """Read a JSON and verify it: its checksum, its keys."""
        content = self.storage.read(name)
        try:
            meta = json.loads(content)
        except ValueError:
            meta = None
        where = f"{self.storage.url}/{name}"
        if not isinstance(meta, dict):
            raise CorruptFileError(f"{where} is not JSON: {look(content[:64])}")
        missing = [key for key in REQUIRED if key not in meta]
        if missing:
            raise CorruptFileError(f"{where} lacks {', '.join(missing)}")
        if meta.pop("checksum", None) != _checksum(meta):
            raise CorruptFileError(f"{where} does not match its own checksum: it was changed")
        return meta

    def _fetch_versioned(self, meta: Mapping[str, Any], kind: Kind) -> Path:
        name = _versioned(meta["version"], kind)
        path = self.storage.fetch(name, _sha256(meta, name))
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


def user_cache_dir() -> Path:
    """Return the folder for verified copies of a program that is not in a project."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "two-tower"


def _versioned(version: str, kind: Kind) -> str:
    return f"two_tower_{version}.{'onnx' if kind == 'onnx' else 'pt.gz'}"


def _sha256(meta: Mapping[str, Any], name: str) -> str:
    try:
        return str(meta["sha256"][name])
    except KeyError as error:
        raise CorruptFileError(f"the JSON of {meta['version']} has no sha256 of {name}") from error


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def _checksum(meta: Mapping[str, Any]) -> str:
    text = json.dumps(meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sealed(meta: Mapping[str, Any]) -> bytes:
    return _json({**meta, "checksum": _checksum(meta)})


def _compress(source: Path, target: Path) -> None:
    # No name and no time in the header: the same weights make the same file.
    with (
        source.open("rb") as content,
        target.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
    ):
        shutil.copyfileobj(content, packed)


def _reason(error: Exception, where: str) -> str:
    return f"{where} does not exist" if isinstance(error, FileNotFoundError) else str(error)


def _warn(reasons: list[str], version: str) -> None:
    if reasons:
        logger.warning("%s; using version %s instead", "; ".join(reasons), version)
