"""A trained model in Python: ``two_tower.load_model(path)``, ``encode_user``, ``encode_item``."""

from __future__ import annotations

import gzip
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from two_tower.artifacts.registry_reader import RegistryReader
from two_tower.artifacts.storage import CorruptFileError, Storage, look, sha256_of, user_cache_dir
from two_tower.core.errors import InputError, TwoTowerError
from two_tower.model.layout import Layout, Tower
from two_tower.model.onnx import INPUTS, OUTPUTS, open_session
from two_tower.model.towers import Towers

Floats = NDArray[np.float32]
SUFFIXES = (".pkl", ".pt", ".pt.gz", ".onnx")


class Model(ABC):
    """Two encoders into one space: the cosine of a user's and a video's vector is the score.

    Attributes:
        layout: the meaning of each place of the flat feature vectors.
        meta: version, dim, input_schema_version, the ``*_vocab_size`` and more, as in
            ``model_meta.json``.
    """

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self.meta = dict(meta)
        self.layout = Layout.from_dict(self.meta["layout"])

    def encode_user(self, features: ArrayLike) -> Floats:
        """Return unit vectors float32 ``[batch, 128]`` of user features ``[batch, feature_dim]``.

        Raises:
            InputError: the features have another shape than the model takes.
        """
        return self._encode("user", self._checked("user", features))

    def encode_item(self, features: ArrayLike) -> Floats:
        """Return unit vectors float32 ``[batch, 128]`` of item features ``[batch, feature_dim]``.

        Raises:
            InputError: the features have another shape than the model takes.
        """
        return self._encode("item", self._checked("item", features))

    def _checked(self, tower: Tower, features: ArrayLike) -> Floats:
        rows = np.require(features, dtype=np.float32, requirements=["C", "W"])
        width = self.layout.feature_dim(tower)
        if rows.ndim != 2 or rows.shape[1] != width:
            raise InputError(
                f"{tower} features have shape {list(rows.shape)}, this model (version"
                f" {self.meta.get('version')}) takes [batch, {width}]",
                f"take the vectors of {tower}_features.parquet of the same version, or build them"
                f" with model.layout.dense({tower!r}, …)",
            )
        return rows

    @abstractmethod
    def _encode(self, tower: Tower, rows: Floats) -> Floats:
        """Return the unit vectors of rows of the right width."""


class TorchModel(Model):
    """A model from its pickle, which has tensors and primitives only."""

    def __init__(self, payload: Mapping[str, Any]) -> None:
        super().__init__({key: value for key, value in payload.items() if key != "state"})
        self._towers = Towers.from_payload(payload).dense_module()

    def _encode(self, tower: Tower, rows: Floats) -> Floats:
        module = self._towers.user if tower == "user" else self._towers.item
        with torch.no_grad():
            vectors: Floats = module(torch.from_numpy(rows)).numpy()
        return vectors


class OnnxModel(Model):
    """A model from its ONNX file."""

    def __init__(self, source: Path | bytes) -> None:
        self._session = open_session(source)
        properties = self._session.get_modelmeta().custom_metadata_map
        super().__init__(json.loads(properties["model_meta"]))

    def _encode(self, tower: Tower, rows: Floats) -> Floats:
        other: Tower = "item" if tower == "user" else "user"
        none = np.zeros((0, self.layout.feature_dim(other)), dtype=np.float32)
        inputs = {f"{tower}_features": rows, f"{other}_features": none}
        output = OUTPUTS[INPUTS.index(f"{tower}_features")]
        vectors: Floats = self._session.run([output], inputs)[0]
        return vectors


def load_model(source: str | Path, options: Mapping[str, Any] | None = None) -> Model:
    """Load a model from a registry or from one file.

    Args:
        source: a folder or fsspec URL of a registry (its latest model, verified by sha256), or a
            ``.onnx``, ``.pkl``, ``.pt`` or ``.pt.gz`` file.
        options: fsspec storage options, such as key, secret and endpoint_url.

    Raises:
        InputError: there is no such file, or it is not a model. Only tensors and primitives are
            unpickled.
        NotEnoughDataError: the registry is empty.
        CorruptFileError: the file is not the one that the JSON beside it describes, or no model in
            the registry is intact.
        UnavailableError: the storage did not answer.
    """
    name = str(source)
    if not name.endswith(SUFFIXES):
        return OnnxModel(RegistryReader.at(name, options).fetch().path)
    content = _read(name, dict(options or {}))
    try:
        return _from_bytes(name, content)
    except TwoTowerError:
        raise
    except Exception as error:  # torch, onnxruntime and gzip have many
        raise InputError(
            f"{name} is not a model of this project: {_first_line(error)}",
            "load the registry's folder instead: then damaged files are found and replaced",
        ) from error


def _from_bytes(name: str, content: bytes) -> Model:
    if name.endswith(".onnx"):
        return OnnxModel(content)
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    return TorchModel(torch.load(io.BytesIO(content), weights_only=True))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _read(name: str, options: dict[str, Any]) -> bytes:
    folder, _, file = name.rpartition("/")
    storage = Storage(folder or ".", options, user_cache_dir())
    try:
        content = storage.read(file)
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist", "two-tower export writes it") from error
    try:
        expected = json.loads(storage.read(f"{file.split('.')[0]}.json"))["sha256"][file]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return content  # a single file: there is no description to compare it with
    if sha256_of(content) != expected:
        raise CorruptFileError(
            f"{name} is not the file that the JSON beside it describes: {look(content[:64])}",
            "load the registry's folder instead: then a damaged file is replaced by a good one",
        )
    return content
