"""A model of a few features, published in a registry, and the feature tables it reads."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.artifacts.registry import Registry
from two_tower.core.settings import Settings
from two_tower.database.warehouse import Warehouse
from two_tower.model.layout import Layout
from two_tower.model.onnx import write_onnx
from two_tower.model.towers import Towers, save_towers

VIDEOS = 4  # the first of the catalogue, the ones that vocab_video knows
LAYOUT_ROWS = [
    (1, "user", "liked_videos", "history", 1, "video", VIDEOS),
    (2, "user", "like_count", "numeric", 2, None, 1),
    (3, "item", "video", "identity", 1, "video", VIDEOS),
    (4, "item", "price", "numeric", 2, None, 1),
]
NAMES = ("feature_id", "tower", "feature", "kind", "position", "vocabulary", "width")

FEATURES = """
create schema if not exists two_tower;
create table if not exists two_tower.feature_layout (feature_id smallint, tower text,
    feature text, kind text, position integer, vocabulary text, width integer, layout_hash text);
create table two_tower.feature_layout_versions
    (input_schema_version integer, layout_hash text, first_seen_at timestamp);
create table two_tower.item_feature_slots (video_id uuid, feature_ids smallint[],
    indices integer[], "values" real[]);
create table two_tower.vocab_video (token text, "index" integer);
"""


def layout(layout_hash: str = "hash") -> Layout:
    rows = [dict(zip(NAMES, row, strict=True)) for row in LAYOUT_ROWS]
    return Layout.from_rows(rows, layout_hash, 1)


def weights() -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(5)
    return {
        name: generator.standard_normal((VIDEOS + 1, 128)).astype(np.float32)
        for name in ("user", "item")
    }


@cache
def model_files() -> tuple[bytes, bytes]:
    """The ONNX file and the pickle of towers with these weights: linear, without a bias."""
    towers = Towers(layout())
    state = towers.state_dict()
    for name, weight in weights().items():
        state[f"towers.{name}.weight"].copy_(torch.from_numpy(weight))
        state[f"towers.{name}.bias"].zero_()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write_onnx(path, towers.eval(), {})
        onnx = path.read_bytes()
        save_towers(path, towers)
        return onnx, path.read_bytes()


def publish(
    settings: Settings, version: str, folder: Path, layout_hash: str = "hash", **described: object
) -> None:
    """Publish a model that multiplies by `weights()` and divides by the length."""
    files = {"onnx": folder / f"{version}.onnx", "pkl": folder / f"{version}.pkl"}
    for path, content in zip(files.values(), model_files(), strict=True):
        path.write_bytes(content)
    frozen = layout(layout_hash)
    meta = {
        "trained_at": "2026-01-01T00:00:00Z",
        "dim": 128,
        "loss": "none",
        "metrics": {},
        "input_schema_version": 1,
        "layout_hash": layout_hash,
        "model_meta": {"layout": frozen.to_dict(), **vocabulary_sizes(frozen), **described},
    }
    Registry(settings).publish(version, files, meta)


def vocabulary_sizes(frozen: Layout) -> dict[str, int]:
    return {f"{name}_vocab_size": size for name, size in frozen.vocab_sizes().items()}


def make_feature_tables(warehouse: Warehouse, video_ids: list[str]) -> None:
    """The layout, the vocabulary of the first videos, and a row of features a video."""
    for statement in FEATURES.split(";")[:-1]:
        warehouse.execute(statement)
    for row in LAYOUT_ROWS:
        warehouse.execute(
            "insert into two_tower.feature_layout values (?, ?, ?, ?, ?, ?, ?, 'hash')", row
        )
    warehouse.execute(
        "insert into two_tower.feature_layout_versions values (1, 'hash', timestamp '2026-01-01')"
    )
    for number, video in enumerate(video_ids):
        warehouse.execute(
            "insert into two_tower.item_feature_slots values"
            f" (cast(? as uuid), array[3, 4], array[{number}, 0], array[1.0, {number + 1}])",
            (video,),
        )
        if number < VIDEOS:
            warehouse.execute("insert into two_tower.vocab_video values (?, ?)", (video, number))
