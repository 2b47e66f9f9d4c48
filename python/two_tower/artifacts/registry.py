"""The registry: publishes models as immutable versions, and names one of them the latest.

Files in ``REGISTRY_URL/models``, in the order in which they are written:

- ``two_tower_VERSION.onnx``, ``.pt.gz`` (the compressed pickle), ``.json``: never changed;
- ``two_tower_latest.pkl``, ``.onnx``, ``model_meta.json``, the feature files;
- ``two_tower_latest.json``: last, so that it describes only files that exist. Before those files
  change, it is written once without the ones that will.

A JSON has the sha256 of every file, and a checksum of its own.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from two_tower.artifacts.descriptions import (
    FEATURE_FILES,
    LATEST,
    LATEST_JSON,
    file_of,
    json_of,
    sealed,
    to_json,
)
from two_tower.artifacts.registry_reader import RegistryReader
from two_tower.artifacts.storage import CorruptFileError, sha256_of
from two_tower.core.errors import InputError

MODEL_META = "model_meta.json"


class Registry(RegistryReader):
    """Reads and publishes the models of a project."""

    def publish(
        self, version: str, files: Mapping[str, Path], meta: Mapping[str, Any]
    ) -> dict[str, str]:
        """Store a model as a version and make it the latest.

        Publishing a version again writes only ``latest``, and versioned files that are damaged.

        Args:
            version: ``YYYYMMDD_HHMMSS``.
            files: paths of ``onnx``, ``pkl`` and, by their names, of feature files.
            meta: trained_at, dim, loss, metrics, input_schema_version, layout_hash and model_meta,
                which is the content of model_meta.json and has the layout.

        Returns:
            the sha256 of every file, by its name in the registry.

        Raises:
            InputError: the version is in the registry with other weights.
        """
        with tempfile.TemporaryDirectory() as folder:
            compressed = Path(folder) / "pt.gz"
            _compress(files["pkl"], compressed)
            onnx_name, pickle_name = file_of(version, "onnx"), file_of(version, "pkl")
            sha256 = {onnx_name: sha256_of(files["onnx"]), pickle_name: sha256_of(compressed)}
            if not self._is_published(version, sha256):
                self.storage.write(onnx_name, files["onnx"])
                self.storage.write(pickle_name, compressed)
                described = sealed({**meta, "version": version, "sha256": sha256})
                self.storage.write(json_of(version), described)
        features = {name: path for name, path in files.items() if name in FEATURE_FILES}
        return self._set_latest(version, {**meta, "version": version}, features, {})

    def set_latest(self, version: str) -> dict[str, str]:
        """Make a published version the latest again, from its versioned files.

        Feature files of another layout are removed: their vectors do not fit this model. Exporting
        the version again writes new ones.

        Returns:
            the sha256 of every latest file, by its name.

        Raises:
            InputError: there is no such version.
            CorruptFileError: its files are not those of its JSON; ``latest`` is unchanged.
        """
        meta = self.describe(version)
        kept, rows = self._fitting_features(meta)
        model_meta = {**meta["model_meta"], "feature_files": rows}
        return self._set_latest(version, {**meta, "model_meta": model_meta}, {}, kept)

    def replace_feature_file(self, name: str, path: Path, rows: int) -> None:
        """Replace a feature file of the latest by one with other rows."""
        meta = self._describe(LATEST_JSON)
        described = meta["model_meta"].get("feature_files", {})
        described = {**described, name: {**described.get(name, {}), "rows": rows, "of": rows}}
        kept = {n: s for n, s in meta["sha256"].items() if n in FEATURE_FILES and n != name}
        meta = {**meta, "model_meta": {**meta["model_meta"], "feature_files": described}}
        self._set_latest(meta["version"], meta, {name: path}, kept)

    def remove(self, version: str) -> None:
        """Remove the files of a version, its JSON first: without it the version does not exist."""
        for name in (json_of(version), *(file_of(version, kind) for kind in LATEST)):
            self.storage.remove(name)

    def _set_latest(
        self,
        version: str,
        meta: Mapping[str, Any],
        features: Mapping[str, Path],
        kept: Mapping[str, str],
    ) -> dict[str, str]:
        published = self.describe(version)
        sources: dict[str, Path | bytes] = {
            LATEST["pkl"]: self._fetchfile_of(published, "pkl"),
            LATEST["onnx"]: self._fetchfile_of(published, "onnx"),
            MODEL_META: to_json(meta["model_meta"]),
            **features,
        }
        changed = {name: sha256_of(source) for name, source in sources.items()}
        sha256 = {**published["sha256"], **kept, **changed}
        self._name_no_longer(changed, sha256)
        for name, source in sources.items():
            self.storage.write(name, source)
        self.storage.write(LATEST_JSON, sealed({**meta, "sha256": sha256}))
        for name in set(FEATURE_FILES) - set(sha256):
            self.storage.remove(name)
        return sha256

    def _name_no_longer(self, changed: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Remove from latest.json the files that are about to change or to be removed.

        A reader in the meantime, or after a kill, finds the versioned files instead.
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
            self.storage.write(LATEST_JSON, sealed({**current, "sha256": stays}))

    def _fitting_features(self, meta: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Return sha256 and row counts of the latest feature files, if they have this layout."""
        try:
            current = self._describe(LATEST_JSON)
            model = sha256_of(self.storage.read(LATEST["onnx"]))
        except (FileNotFoundError, CorruptFileError):
            return {}, {}
        if model != current["sha256"].get(LATEST["onnx"]):
            return {}, {}  # it describes another model file, so maybe other feature files too
        if current["model_meta"]["layout"] != meta["model_meta"]["layout"]:
            return {}, {}
        kept = {name: sha for name, sha in current["sha256"].items() if name in FEATURE_FILES}
        return kept, current["model_meta"].get("feature_files", {})

    def _is_published(self, version: str, sha256: Mapping[str, str]) -> bool:
        try:
            published = self._describe(json_of(version))
        except (FileNotFoundError, CorruptFileError):
            return False
        weights = file_of(version, "pkl")
        if published["sha256"].get(weights) != sha256[weights]:
            raise InputError(
                f"version {version} is in the registry at {self.storage.url} with other weights",
                "versions never change: train again, which makes a new one",
            )
        try:
            self.read_version(version)
        except CorruptFileError:
            return False  # so that publishing writes the files again
        return True


def _compress(source: Path, target: Path) -> None:
    # Without a name and a time in the header, the same weights make the same file.
    with (
        source.open("rb") as content,
        target.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
    ):
        shutil.copyfileobj(content, packed)
