"""Embed every user and video with a published model into the landing tables.

The features are streamed, so memory does not grow with the number of rows. The landing tables are
replaced in one transaction: if it fails, the vectors landed before are still there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.core import progress, ray_cluster
from two_tower.core.background import ahead
from two_tower.core.errors import GateError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.parquet_features import open_features
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.model import feature_rows
from two_tower.model.feature_rows import read_layout
from two_tower.model.layout import Tower
from two_tower.serving import landing, slot_vectors

SOURCES: dict[Tower, tuple[str, str]] = {
    "user": ("user_feature_slots", "user_id"),
    "item": ("item_feature_slots", "video_id"),
}
# Largest distance of a vector's length from 1, as in the check `unit_norm` of the served tables
# (macro index_embeddings). Rounding to half precision moves the length by less than 1e-3.
NORM_TOLERANCE = 1e-2
# What turns batches of ids and slots into ids and vectors, in the same order.
EncodeAll = Callable[[Encoder, Tower, Iterator[pa.RecordBatch]], Iterator[landing.LandingBatch]]


@dataclass(frozen=True)
class EmbedResult:
    """What was landed, with which version of the model, and how fast.

    Attributes:
        version: version of the model.
        users: number of users with a vector.
        videos: number of videos with a vector, which is all of them.
        users_without: number of users without a vector, because the model knows none of their
            features. They get the popular videos.
        seconds: wall time.
        rows_per_second: vectors per second.
    """

    version: str
    users: int
    videos: int
    users_without: int
    seconds: float
    rows_per_second: float


def embed(settings: Settings, version: str | None = None) -> EmbedResult:
    """Embed all users and videos with a version of the registry, by default its latest.

    Raises:
        GateError: the model was trained on other features than the database has now, ONNX Runtime
            does not agree with its weights, or a vector does not have length 1. A user's vector may
            be zero: the user then gets none.
        NotEnoughDataError: there is no model, or there are no features yet.
        InputError: Ray is asked for and not installed.
        UnavailableError: the Ray cluster does not answer, or has lost too much.
        CorruptFileError: a file of the model is not what was published.
    """
    started = time.perf_counter()
    encoder = Encoder(Registry(settings).fetch(version))
    counts: dict[Tower, int] = {}
    silent: dict[Tower, int] = {}
    with (
        _engine(settings) as encode_all,
        open_warehouse(settings) as warehouse,
        open_features(settings, warehouse) as features,
    ):
        check_schema(encoder, features)
        ddl.ensure_landing(warehouse)
        as_of = slot_vectors.features_as_of(features)
        with warehouse.transaction():
            landing.clear(warehouse)
            for tower in SOURCES:
                total = _count(features, tower)
                batches = _checked(encoder, tower, _read(features, tower))
                encoded = encode_all(encoder, tower, batches)
                counts[tower], silent[tower] = _land(warehouse, encoder, tower, total, encoded)
            slot_vectors.land(warehouse, encoder, as_of)
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
    """Refuse a model of another feature layout. Vocabularies may have grown since.

    Raises:
        GateError: the layouts differ.
    """
    current, frozen = read_layout(warehouse), encoder.layout
    if current.layout_hash != frozen.layout_hash:
        raise GateError(
            f"model {encoder.version} was trained on input schema {frozen.input_schema_version},"
            f" the database has input schema {current.input_schema_version}",
            "train on today's features: two-tower train, then two-tower export",
        )


def _count(features: Warehouse, tower: Tower) -> int:
    source, _ = SOURCES[tower]
    total = int(features.fetch(f"select count(*) as n from two_tower.{source}")[0]["n"])
    if total == 0:
        raise NotEnoughDataError(f"two_tower.{source} is empty", "load data, then run dbt build")
    return total


def _land(
    warehouse: Warehouse,
    encoder: Encoder,
    tower: Tower,
    total: int,
    encoded: Iterator[landing.LandingBatch],
) -> tuple[int, int]:
    """Land a tower; return the numbers of landed rows and of users left out (zero vector)."""
    refused = silent = 0

    with progress.bar(f"Embedding {tower}s", total) as bar:

        def batches() -> Iterator[landing.LandingBatch]:
            nonlocal refused, silent
            for ids, vectors in encoded:
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


@contextmanager
def _engine(settings: Settings) -> Iterator[EncodeAll]:
    """Yield what encodes the batches of a tower."""
    if settings.engine == "local":
        yield _encoded
        return
    with ray_cluster.connected():
        from two_tower.serving import embed_on_ray

        yield embed_on_ray.encoded


def _encoded(
    encoder: Encoder, tower: Tower, batches: Iterator[pa.RecordBatch]
) -> Iterator[landing.LandingBatch]:
    """Yield ids and vectors of batches."""
    for batch in batches:
        yield batch["id"], encode(encoder, tower, batch)


def encode(encoder: Encoder, tower: Tower, batch: pa.RecordBatch) -> NDArray[np.float32]:
    """Return the vectors of rows with their slots, float32 ``[rows, 128]``."""
    return encoder.encode(tower, feature_rows.slots(encoder.layout, tower, batch))


def _read(features: Warehouse, tower: Tower) -> Iterator[pa.RecordBatch]:
    """Yield ids and slots in batches; the next one is read while one is encoded."""
    source, key = SOURCES[tower]
    reader = features.read_arrow(
        f'select cast({key} as text) as id, feature_ids, indices, "values" from two_tower.{source}'
    )
    yield from (batch for batch in ahead(reader) if batch.num_rows)


def _checked(
    encoder: Encoder, tower: Tower, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the batches.

    Raises:
        GateError: ONNX Runtime has other vectors for the first rows.
    """
    for number, batch in enumerate(batches):
        if number == 0:
            encoder.check(tower, feature_rows.slots(encoder.layout, tower, batch))
        yield batch
