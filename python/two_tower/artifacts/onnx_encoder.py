"""Encodes with a published model: ONNX Runtime, and the layout stored with the model."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from two_tower.artifacts.registry_reader import Artifact
from two_tower.model.layout import Layout, Tower

INPUTS: dict[Tower, str] = {"user": "user_features", "item": "item_features"}
OUTPUTS: dict[Tower, str] = {"user": "user_embedding", "item": "item_embedding"}
OTHER: dict[Tower, Tower] = {"user": "item", "item": "user"}
DENSE_FLOATS = 1 << 24  # in one dense batch: 64 MB


class Encoder:
    """Encodes rows of ``(feature_id, index, value)`` with one version of the model.

    Args:
        artifact: the ONNX file and its description, from :meth:`Registry.fetch`.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.version = artifact.version
        self.layout = Layout.from_dict(artifact.meta["model_meta"]["layout"])
        self._model: str | bytes = str(artifact.path)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another machine encodes with: the model itself, and not where it is."""
        model = self._model
        model = Path(model).read_bytes() if isinstance(model, str) else model
        return {"version": self.version, "layout": self.layout, "_model": model}

    @cached_property
    def session(self) -> Any:
        """The ONNX Runtime session."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            self._model, options, providers=["CPUExecutionProvider"]
        )

    def encode(
        self,
        tower: Tower,
        feature_ids: NDArray[Any],
        indices: NDArray[Any],
        values: NDArray[Any],
        offsets: NDArray[Any],
    ) -> NDArray[np.float32]:
        """Return the vectors of rows of slots, float32 ``[rows, 128]``.

        Args:
            tower: whose rows they are.
            feature_ids: integers ``[slots]``.
            indices: integers ``[slots]``, within the feature.
            values: numbers ``[slots]``.
            offsets: integers ``[rows + 1]``: row ``r`` is ``[offsets[r], offsets[r + 1])``.
        """
        size = max(1, DENSE_FLOATS // self.layout.feature_dim(tower))
        # ONNX Runtime wants every declared input: the other tower gets an empty batch.
        other = OTHER[tower]
        none = np.zeros((0, self.layout.feature_dim(other)), dtype=np.float32)
        parts = []
        for first in range(0, len(offsets) - 1, size):
            bounds = offsets[first : first + size + 1]
            slots = slice(bounds[0], bounds[-1])
            dense = self.layout.dense(
                tower, feature_ids[slots], indices[slots], values[slots], bounds - bounds[0]
            )
            (part,) = self.session.run(
                [OUTPUTS[tower]], {INPUTS[tower]: dense, INPUTS[other]: none}
            )
            parts.append(part)
        return np.concatenate(parts)
