"""Embedding on a Ray cluster: tasks encode batches of features, this process lands (ADR 33)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.model.layout import Tower
from two_tower.serving import landing
from two_tower.serving.embed import encode

# Batches that wait or are encoded, a core: nodes are never idle, and memory stays bounded.
WAITING = 2
# Of this worker process, by version: a task is a batch, and a model is opened once.
_encoders: dict[str, Encoder] = {}


def encoded(
    encoder: Encoder, tower: Tower, batches: Iterator[pa.RecordBatch]
) -> Iterator[landing.LandingBatch]:
    """Yield ids and vectors of batches, in their order: the bytes are those of one machine.

    A batch whose node is lost is encoded again on another.
    """
    most = max(int(WAITING * ray.cluster_resources().get("CPU", 1)), 1)
    model = ray.put(encoder)
    task = ray.remote(scheduling_strategy="SPREAD")(_encode)
    waiting: deque[tuple[pa.Array, Any]] = deque()
    for batch in batches:
        slots = batch.select(["feature_ids", "indices", "values"])
        waiting.append((batch["id"], task.remote([model], encoder.version, tower, slots)))
        if len(waiting) == most:
            ids, vectors = waiting.popleft()
            yield ids, ray.get(vectors)
    for ids, vectors in waiting:
        yield ids, ray.get(vectors)


def _encode(
    model: list[Any], version: str, tower: Tower, slots: pa.RecordBatch
) -> NDArray[np.float32]:
    if version not in _encoders:
        _encoders.clear()
        _encoders[version] = ray.get(model[0])
    return encode(_encoders[version], tower, slots)
