"""Embed every user and video with a published model into the landing tables.

The features are streamed, so memory does not grow with their number. The landing is replaced in one
transaction: after a failure the former one is still there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.core import progress
from two_tower.core.errors import GateError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.model.feature_rows import read_layout
from two_tower.model.layout import Tower
from two_tower.serving import landing, slot_vectors

SOURCES: dict[Tower, tuple[str, str]] = {
    "user": ("user_feature_slots", "user_id"),
    "item": ("item_feature_slots", "video_id"),
}
NORM_TOLERANCE = 1e-2  # what half precision keeps of a unit vector


@dataclass(frozen=True)
class EmbedResult:
    """What was landed, with which version of the model, and how fast.

    Attributes:
        version: of the model.
        users: users with a vector.
        videos: videos with one: all of them.
        users_without: users of whom the model knows nothing: what is popular is theirs.
        seconds: how long it took.
        rows_per_second: vectors a second.
    """

    version: str
    users: int
    videos: int
    users_without: int
    seconds: float
    rows_per_second: float


def embed(settings: Settings, version: str | None = None) -> EmbedResult:
    """Embed all users and videos with the latest model of the registry, or with a version of it.

    Raises:
        GateError: the model was trained on other features than the database has now, or it
            gives vectors that are not of length 1. A user of whom it knows nothing may have none.
        NotEnoughDataError: no model, or no features yet.
        CorruptFileError: a file of the model is not what was published.
    """
    started = time.perf_counter()
    registry = Registry(settings)
    encoder = Encoder(registry.fetch(version))
    counts: dict[Tower, int] = {}
    silent: dict[Tower, int] = {}
    with open_warehouse(settings) as warehouse:
        check_schema(encoder, warehouse)
        ddl.ensure_landing(warehouse)
        as_of = slot_vectors.features_as_of(warehouse)
        with warehouse.transaction():
            landing.clear(warehouse)
            for tower in SOURCES:
                counts[tower], silent[tower] = _embed_tower(warehouse, encoder, tower)
            slot_vectors.land(warehouse, registry, encoder.version, as_of)
    seconds = time.perf_counter() - started
    rows = sum(counts.values())
    return EmbedResult(
        version=encoder.version,
        users=counts["user"],
        videos=counts["item"],
        users_without=silent["user"],
        seconds=round(seconds, 2),
        rows_per_second=round(rows / seconds, 1),
    )


def check_schema(encoder: Encoder, warehouse: Warehouse) -> None:
    """Refuse a model of other features; vocabularies may have grown.

    Raises:
        GateError: the layouts differ.
    """
    current, frozen = read_layout(warehouse), encoder.layout
    if current.layout_hash != frozen.layout_hash:
        raise GateError(
            f"model {encoder.version} was trained on input schema {frozen.input_schema_version},"
            f" the database has input schema {current.input_schema_version}",
            "train on the features of today: two-tower train, then two-tower export",
        )


def _embed_tower(warehouse: Warehouse, encoder: Encoder, tower: Tower) -> tuple[int, int]:
    """Land a tower; return its rows, and the users whose vector is zero: they get none."""
    source, _ = SOURCES[tower]
    total = int(warehouse.fetch(f"select count(*) as n from two_tower.{source}")[0]["n"])
    if total == 0:
        raise NotEnoughDataError(f"two_tower.{source} is empty", "load data, then run dbt build")
    refused = silent = 0

    with progress.bar(f"Embedding {tower}s", total) as bar:

        def batches() -> Iterator[landing.Batch]:
            nonlocal refused, silent
            for ids, vectors in _encoded(warehouse, encoder, tower):
                lengths = np.linalg.norm(vectors, axis=1)
                is_unit = np.abs(lengths - 1) < NORM_TOLERANCE
                is_silent = (lengths == 0) & (tower == "user")
                silent += int(np.count_nonzero(is_silent))
                refused += int(np.count_nonzero(~is_unit & ~is_silent))
                bar.advance(len(ids))
                yield ids.filter(pa.array(is_unit)), vectors[is_unit]

        rows = landing.write(warehouse, tower, encoder.version, batches())
    if refused or rows == 0:
        raise GateError(
            f"model {encoder.version} gives {refused or silent} of {total} {tower}s a vector that"
            " is not of length 1 (zero or NaN): nothing was landed",
            "the training has diverged or the features are empty: train again, or embed another"
            " version with --version",
        )
    return rows, silent


def _encoded(warehouse: Warehouse, encoder: Encoder, tower: Tower) -> Iterator[landing.Batch]:
    """Yield ids and vectors; the next batch is read while one is encoded."""
    source, key = SOURCES[tower]
    reader = warehouse.read_arrow(
        f'select cast({key} as text) as id, feature_ids, indices, "values" from two_tower.{source}'
    )
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(next, reader, None)
        while (batch := ahead.result()) is not None:
            ahead = pool.submit(next, reader, None)
            if batch.num_rows:
                yield batch["id"], _encode(encoder, tower, batch)


def _encode(encoder: Encoder, tower: Tower, batch: pa.RecordBatch) -> NDArray[np.float32]:
    lengths = pc.list_value_length(batch["feature_ids"]).fill_null(0)
    return encoder.encode(
        tower,
        batch["feature_ids"].flatten().to_numpy(zero_copy_only=False),
        batch["indices"].flatten().to_numpy(zero_copy_only=False),
        batch["values"].flatten().to_numpy(zero_copy_only=False),
        np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))]).astype(np.int64),
    )
