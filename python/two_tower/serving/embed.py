"""Embed every user and video with a published model into the landing tables.

The features are streamed, so memory does not grow with the number of rows. The landing tables are
replaced in one transaction: if it fails, the vectors landed before are still there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.core import progress
from two_tower.core.background import ahead
from two_tower.core.errors import GateError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database import ddl
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
        CorruptFileError: a file of the model is not what was published.
    """
    started = time.perf_counter()
    encoder = Encoder(Registry(settings).fetch(version))
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


def _embed_tower(warehouse: Warehouse, encoder: Encoder, tower: Tower) -> tuple[int, int]:
    """Land a tower; return the numbers of landed rows and of users left out (zero vector)."""
    source, _ = SOURCES[tower]
    total = int(warehouse.fetch(f"select count(*) as n from two_tower.{source}")[0]["n"])
    if total == 0:
        raise NotEnoughDataError(f"two_tower.{source} is empty", "load data, then run dbt build")
    refused = silent = 0

    with progress.bar(f"Embedding {tower}s", total) as bar:

        def batches() -> Iterator[landing.LandingBatch]:
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


def _encoded(
    warehouse: Warehouse, encoder: Encoder, tower: Tower
) -> Iterator[landing.LandingBatch]:
    """Yield ids and vectors; the next batch is read while one is encoded.

    Raises:
        GateError: ONNX Runtime has other vectors for the first rows.
    """
    source, key = SOURCES[tower]
    reader = warehouse.read_arrow(
        f'select cast({key} as text) as id, feature_ids, indices, "values" from two_tower.{source}'
    )
    is_checked = False
    for batch in ahead(reader):
        if batch.num_rows:
            slots = feature_rows.slots(encoder.layout, tower, batch)
            if not is_checked:
                encoder.check(tower, slots)
                is_checked = True
            yield batch["id"], encoder.encode(tower, slots)
