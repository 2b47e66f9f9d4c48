"""Encodes with a published model: the weights of its ONNX file, and the layout stored with it.

A row of a hundred slots in a flat vector of ten thousand makes ONNX Runtime multiply zeros. So the
weights are read from the ONNX file and only the rows that slots name are added up; that ONNX
Runtime says the same of real rows is checked before vectors are landed.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from two_tower.artifacts.registry_reader import Artifact
from two_tower.core.errors import GateError
from two_tower.model.layout import SHRINKAGE, TINY, TOLERANCE, TOWERS, Layout, Tower
from two_tower.model.slots import Slots

INPUTS: dict[Tower, str] = {"user": "user_features", "item": "item_features"}
OUTPUTS: dict[Tower, str] = {"user": "user_embedding", "item": "item_embedding"}
OTHER: dict[Tower, Tower] = {"user": "item", "item": "user"}
CHECKED_ROWS = 257  # more than a power of two, so that no batch is a whole number of SIMD blocks
DENSE_FLOATS = 1 << 22  # in one dense batch: 16 MB, of which ONNX Runtime is fastest

Floats = NDArray[np.float32]


class Encoder:
    """Encodes rows of slots with one version of the model.

    Attributes:
        version: of the model.
        layout: as the model has frozen it.
        shrinkage: reviews of which nothing is known, see :class:`two_tower.model.towers.Towers`.

    Args:
        artifact: the ONNX file and its description, from :meth:`Registry.fetch`.
    """

    def __init__(self, artifact: Artifact) -> None:
        described = artifact.meta["model_meta"]
        self.version = artifact.version
        self.layout = Layout.from_dict(described["layout"])
        self.shrinkage = float(described.get("shrinkage", SHRINKAGE))
        self._path = str(artifact.path)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another machine encodes with: the weights, and not where the file is."""
        names = ("version", "layout", "shrinkage", "weights")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def weights(self) -> dict[Tower, tuple[Floats, Floats]]:
        """The weights ``[feature_dim, 128]`` and the bias ``[128]`` of each tower.

        Raises:
            GateError: the file was not made by this program's export.
        """
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(self._path).graph
        stored = {part.name: numpy_helper.to_array(part) for part in graph.initializer}
        made_by = {name: node for node in graph.node for name in node.output}
        # By their places: the exporter stores equal tensors once, under the name of the first.
        products = [node.input[1] for node in graph.node if node.op_type == "MatMul"]
        found: dict[Tower, tuple[Floats, Floats]] = {}
        try:
            for tower in TOWERS:
                widths = [block.width for block in self.layout.blocks(tower) if block.width]
                parts = [stored[products.pop(0)] for _ in widths]
                if [len(part) for part in parts] != widths:
                    raise LookupError
                last = made_by[made_by[OUTPUTS[tower]].input[0]]
                bias = next(stored[name] for name in last.input if name in stored)
                found[tower] = np.vstack(parts), bias
        except (LookupError, StopIteration) as error:
            raise GateError(
                f"the ONNX file of model {self.version} has not the operators of its towers",
                "train a model anew",
            ) from error
        return found

    def encode(self, tower: Tower, slots: Slots) -> Floats:
        """Return the vectors of rows, float32 ``[rows, 128]``: of length 1, or zero."""
        weight, bias = self.weights[tower]
        values = self.layout.weighed(tower, slots, self.shrinkage)
        rows = csr_array((values, slots.positions, slots.offsets), (len(slots), len(weight)))
        vectors: Floats = rows @ weight
        vectors += bias
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        vectors /= np.maximum(lengths, TINY)[:, None]
        return vectors

    def check(self, tower: Tower, slots: Slots) -> None:
        """Compare :meth:`encode` with ONNX Runtime on the first of these rows.

        Raises:
            GateError: they differ by more than ``TOLERANCE``.
        """
        count = min(CHECKED_ROWS, len(slots))
        first = slots.take(np.arange(count))
        difference = np.abs(self.by_onnx_runtime(tower, first) - self.encode(tower, first))
        if not np.nan_to_num(difference).max(initial=0) <= TOLERANCE:
            raise GateError(
                f"model {self.version}: by ONNX Runtime the vectors of {count} {tower}s differ by"
                f" {np.nan_to_num(difference).max():.2g} from those of its weights;"
                f" {TOLERANCE:g} is allowed: nothing was landed",
                "train a model anew",
            )

    def by_onnx_runtime(self, tower: Tower, slots: Slots) -> Floats:
        """Return the vectors of rows as an app has them that feeds flat vectors to the file."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(self._path, options, providers=providers)
        # ONNX Runtime wants every declared input: the other tower gets an empty batch.
        other = OTHER[tower]
        none = np.zeros((0, self.layout.feature_dim(other)), dtype=np.float32)
        parts = []
        size = max(1, DENSE_FLOATS // self.layout.feature_dim(tower))
        for first in range(0, len(slots), size):
            rows = slots.take(np.arange(first, min(first + size, len(slots))))
            inputs = {INPUTS[tower]: self.layout.densify(tower, rows), INPUTS[other]: none}
            parts += session.run([OUTPUTS[tower]], inputs)
        return np.concatenate(parts)
