"""The towers as one ONNX file: two inputs, two outputs, two independent batches."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from two_tower.core.errors import GateError
from two_tower.model.layout import TOLERANCE, TOWERS
from two_tower.model.towers import DenseTowers, Towers

OPSET = 20
INPUTS = ("user_features", "item_features")
OUTPUTS = ("user_embedding", "item_embedding")
# The batches a model must run before it is published.
CHECKED_BATCHES = (0, 1, 2, 257)

Floats = NDArray[np.float32]


def write_onnx(path: Path, towers: Towers, properties: Mapping[str, str]) -> None:
    """Export the dense towers, with ``properties`` in the file's metadata.

    Inputs ``user_features`` and ``item_features``: float32 ``[batch, feature_dim]``; outputs
    ``user_embedding`` and ``item_embedding``: float32 ``[batch, dim]``, of length 1. A caller who
    wants one tower feeds the other ``[0, feature_dim]``.

    Raises:
        onnx.checker.ValidationError: the export is not valid ONNX.
    """
    # Traced with two rows each: a batch of one would be taken for a constant.
    examples = tuple(torch.zeros(2, towers.layout.feature_dim(tower)) for tower in TOWERS)
    # The exporter's notes on its own internals, and on torchvision, which nobody needs here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            towers.dense_module(),
            examples,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(
                {0: torch.export.Dim("user_batch")},
                {0: torch.export.Dim("item_batch")},
            ),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for name, value in properties.items():
        entry = model.metadata_props.add()
        entry.key = name
        entry.value = value
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def open_session(source: Path | bytes) -> onnxruntime.InferenceSession:
    """Open an ONNX file, or its content, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    model = source if isinstance(source, bytes) else str(source)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def check_parity(path: Path, dense: DenseTowers, users: Floats, items: Floats) -> float:
    """Run the file beside PyTorch on real rows and return the largest difference.

    Args:
        path: the ONNX file.
        dense: the module it was exported from.
        users: feature rows, ``[rows, feature_dim]``; repeated or cut to each batch's size.
        items: the same of videos.

    Raises:
        GateError: they differ by more than ``TOLERANCE``, or a vector is not of length 1. That of
            some users, of whom the model knows nothing, may be zero.
    """
    session = open_session(path)
    worst = 0.0
    # Two sizes at once: the batches are independent.
    for batches in zip(CHECKED_BATCHES, reversed(CHECKED_BATCHES), strict=True):
        inputs = [
            np.resize(rows, (batch, rows.shape[1]))
            for rows, batch in zip((users, items), batches, strict=True)
        ]
        with torch.no_grad():
            expected = dense(*(torch.from_numpy(part) for part in inputs))
        found = session.run(list(OUTPUTS), dict(zip(INPUTS, inputs, strict=True)))
        for name, left, right in zip(OUTPUTS, expected, found, strict=True):
            if left.shape != right.shape:
                raise GateError(f"{path.name}: {name} is {right.shape}, expected {left.shape}")
            difference = _largest(np.abs(left.numpy() - right))
            lengths = np.linalg.norm(right, axis=1)
            if name == OUTPUTS[0] and lengths.any():
                lengths = lengths[lengths != 0]  # users of whom the model knows nothing
            length = _largest(np.abs(lengths - 1))
            # Written so that NaN fails too.
            if not (difference <= TOLERANCE and length <= TOLERANCE):
                raise GateError(
                    f"{path.name}: at batches of {batches}, {name} differs from PyTorch"
                    f" by {difference:.2g}, from length 1 by {length:.2g}:"
                    f" {TOLERANCE:g} is allowed",
                    "the weights may not be finite: train again",
                )
            worst = max(worst, difference)
    return worst


def _largest(values: NDArray[Any]) -> float:
    return float(values.max()) if values.size else 0.0
