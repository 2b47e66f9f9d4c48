"""Publish a trained model: ONNX, pickle, metadata and feature files: ``two-tower export``."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from two_tower.artifacts.registry import Registry
from two_tower.artifacts.runs import find_run
from two_tower.core.errors import NotEnoughDataError
from two_tower.core.files import read_json
from two_tower.core.progress import bar
from two_tower.core.settings import Settings
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.model.feature_rows import slots
from two_tower.model.layout import TOWERS, Layout, Tower
from two_tower.model.onnx import CHECKED_BATCHES, check_parity, write_onnx
from two_tower.model.towers import Towers, load_towers

# Largest number of cells of a feature file: 800 MB before compression, or 4,000 rows of 50,000
# features. Of more rows the first by id are written, and model_meta.json says so.
FEATURE_FILE_CELLS = 200_000_000
# Cells of a row group, which is what is in memory at once: 16 MB.
ROW_GROUP_CELLS = 4_000_000

ID = {"user": "user_id", "item": "video_id"}


@dataclass(frozen=True)
class ExportResult:
    """What was published.

    Attributes:
        version: version of the model.
        registry: URL of the registry.
        files: names of the files in the registry.
        sha256s: sha256 of each file, by name.
        user_feature_dim: width of ``user_features``.
        item_feature_dim: width of ``item_features``.
        user_rows: rows of user_features.parquet.
        item_rows: rows of item_features.parquet.
        is_complete: whether the feature files hold every user and video.
        largest_difference: of the vectors by ONNX Runtime and by PyTorch.
        seconds: wall time.
    """

    version: str
    registry: str
    files: list[str]
    sha256s: dict[str, str]
    user_feature_dim: int
    item_feature_dim: int
    user_rows: int
    item_rows: int
    is_complete: bool
    largest_difference: float
    seconds: float


def export(settings: Settings, version: str | None = None) -> ExportResult:
    """Export a trained model, by default the newest, and make it the latest in the registry.

    Raises:
        InputError: no such version; or it is in the registry already, with other weights.
        NotEnoughDataError: no trained model, or no features.
        GateError: ONNX Runtime and PyTorch disagree; nothing was published.
        UnavailableError: the database or the registry did not answer.
    """
    started = time.perf_counter()
    run = find_run(settings, version)
    towers = load_towers(run / "towers.pt")
    layout = towers.layout
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"onnx": folder / "model.onnx", "pkl": folder / "model.pkl"}
        files |= {f"{tower}_features.parquet": folder / f"{tower}.parquet" for tower in TOWERS}
        with open_warehouse(settings) as warehouse:
            rows = {
                tower: write_features(warehouse, layout, tower, files[f"{tower}_features.parquet"])
                for tower in TOWERS
            }
        model_meta = describe(run.name, towers)
        write_onnx(files["onnx"], towers, _properties(model_meta))
        samples = [_sample(files[f"{tower}_features.parquet"]) for tower in TOWERS]
        difference = check_parity(files["onnx"], towers.dense_module(), *samples)
        torch.save({**towers.payload(), **model_meta}, files["pkl"])
        registry = Registry(settings)
        model_meta["feature_files"] = {
            f"{tower}_features.parquet": {"rows": count, "of": total, "is_complete": count == total}
            for tower, (count, total) in rows.items()
        }
        sha256s = registry.publish(run.name, files, _registry_meta(run, model_meta))
    return ExportResult(
        version=run.name,
        registry=registry.storage.url,
        files=sorted(sha256s),
        sha256s=sha256s,
        user_feature_dim=layout.feature_dim("user"),
        item_feature_dim=layout.feature_dim("item"),
        user_rows=rows["user"][0],
        item_rows=rows["item"][0],
        is_complete=all(count == total for count, total in rows.values()),
        largest_difference=difference,
        seconds=round(time.perf_counter() - started, 2),
    )


def describe(version: str, towers: Towers) -> dict[str, Any]:
    """Return what ``model_meta.json``, the pickle and the ONNX file say about a model.

    Besides the keys here: ``<vocabulary>_vocab_size`` for every vocabulary.
    """
    layout = towers.layout
    sizes = {f"{name}_vocab_size": size for name, size in sorted(layout.vocab_sizes().items())}
    return {
        "version": version,
        "input_schema_version": layout.input_schema_version,
        "layout_hash": layout.layout_hash,
        "dim": towers.dim,
        "shrinkage": towers.shrinkage,
        "user_feature_dim": layout.feature_dim("user"),
        "item_feature_dim": layout.feature_dim("item"),
        **sizes,
        "layout": layout.to_dict(),
    }


def write_features(
    warehouse: Warehouse, layout: Layout, tower: Tower, path: Path
) -> tuple[int, int]:
    """Write today's features as the ONNX model takes them, in the order of the ids.

    A row is an id and a vector, float32 ``[feature_dim]``.

    Returns:
        the numbers of rows written and of rows in all; see ``FEATURE_FILE_CELLS``.

    Raises:
        NotEnoughDataError: there are no features.
    """
    table, key, width = f"{tower}_feature_slots", ID[tower], layout.feature_dim(tower)
    if not warehouse.relation_exists("two_tower", table):
        raise NotEnoughDataError(f"two_tower.{table} does not exist", "run dbt build first")
    total = int(warehouse.fetch(f"select count(*) as n from two_tower.{table}")[0]["n"])
    count = min(total, FEATURE_FILE_CELLS // width)
    if count == 0:
        raise NotEnoughDataError(f"two_tower.{table} is empty", "load data, then run dbt build")
    query = (
        f'select cast({key} as text) as id, feature_ids, indices, "values" from two_tower.{table}'
        f' order by cast({key} as text) collate "C" limit {count}'
    )
    schema = pa.schema({key: pa.string(), "vector": pa.list_(pa.float32(), width)})
    step = max(1, ROW_GROUP_CELLS // width)
    with (
        bar(f"Writing {path.name}", count) as shown,
        pq.ParquetWriter(path, schema, compression="zstd") as writer,
    ):
        for batch in _slices(warehouse.read_arrow(query), step):
            flat = layout.densify(tower, slots(layout, tower, batch))
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), width)
            writer.write_table(pa.table([batch["id"], vectors], schema=schema))
            shown.advance(batch.num_rows)
    return count, total


def _properties(model_meta: Mapping[str, Any]) -> dict[str, str]:
    names = ("version", "layout_hash", "input_schema_version")
    text = json.dumps(model_meta, ensure_ascii=False)
    return {**{name: str(model_meta[name]) for name in names}, "model_meta": text}


def _slices(reader: pa.RecordBatchReader, step: int) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)


def _sample(path: Path) -> NDArray[np.float32]:
    """Return the first rows of a feature file, as many as the parity check uses."""
    with pq.ParquetFile(path) as file:
        batch = next(file.iter_batches(max(CHECKED_BATCHES), columns=["vector"]))
    vectors = batch["vector"]
    flat: NDArray[np.float32] = vectors.flatten().to_numpy()
    return flat.reshape(len(vectors), -1)


def _registry_meta(run: Path, model_meta: Mapping[str, Any]) -> dict[str, Any]:
    config = read_json(run / "config.json") or {}
    history = read_json(run / "history.json") or []
    measured = read_json(run / "metrics.json") or {}
    trained_at = datetime.strptime(run.name, "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    return {
        "trained_at": trained_at.isoformat(),
        "dim": model_meta["dim"],
        "loss": config.get("loss"),
        "metrics": measured.get("metrics", {}).get("two_tower", {}).get("overall", {}),
        "input_schema_version": model_meta["input_schema_version"],
        "layout_hash": model_meta["layout_hash"],
        "training": {"config": config, "last_epoch": history[-1] if history else {}},
        "model_meta": dict(model_meta),
    }
