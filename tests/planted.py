"""A small world whose best model is known: users and videos in groups, weights set by hand.

It stands in for ``dbt build`` and ``train``: the tables that evaluation and export read, and a run.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from two_tower.core.settings import Settings
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.model.layout import Layout
from two_tower.model.towers import Towers, save_towers

VERSION = "20260101_000000"
USERS, VIDEOS, GROUPS = 60, 80, 4
HASH = "planted"
LAYOUT = [
    (1, "user", "positive_ratio_30d", "numeric", 1, None, 1),
    (2, "user", "liked_video_ids", "history", 2, "video", VIDEOS),
    (3, "item", "source", "one_hot", 1, "source", 2),
    (4, "item", "price", "numeric", 2, None, 1),
    (5, "item", "video_id", "identity", 3, "video", VIDEOS),
]
TABLES = """
create schema if not exists two_tower;
create table two_tower.feature_layout (feature_id smallint, tower text, feature text, kind text,
    position integer, vocabulary text, width integer, layout_hash text);
create table two_tower.feature_layout_versions (input_schema_version integer, layout_hash text,
    first_seen_at timestamp);
create table two_tower.item_feature_slots (video_id uuid, item_number integer,
    feature_ids smallint[], indices integer[], "values" real[]);
create table two_tower.user_feature_slots (user_id text, feature_ids smallint[],
    indices integer[], "values" real[]);
create table two_tower.training_user_feature_slots (user_id text, feature_ids smallint[],
    indices integer[], "values" real[]);
create table two_tower.training_users (user_id text, feature_ids smallint[], indices integer[],
    "values" real[], item_numbers integer[], labels smallint[], weights real[],
    relevances real[], folds smallint[], recency_ranks integer[]);
create table two_tower.evaluation_users (user_id text, train_item_numbers integer[],
    target_item_numbers integer[], user_slice text);
create table two_tower.evaluation_items (item_number integer, video_id uuid,
    train_review_count bigint, train_like_count bigint, valid_review_count bigint,
    item_slice text);
create table two_tower.evaluation_cold_users (user_id text, like_count integer,
    feature_ids smallint[], indices integer[], "values" real[], item_numbers integer[]);
create table two_tower.interactions (user_id text, item_id uuid);
create table two_tower.int_as_of (as_of timestamp, train_as_of timestamp, split_strategy text,
    split_seed text)
"""


def video_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def user_id(number: int) -> str:
    return f"利用者{number:03d}"


def group(number: int) -> int:
    return number % GROUPS


def build(settings: Settings) -> Path:
    """Write tables and a run; return the run's folder."""
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        for statement in TABLES.split(";"):
            warehouse.execute(statement)
        _catalogue(warehouse)
        _users(warehouse)
    return write_run(settings, VERSION)


def insert(warehouse: Warehouse, table: str, *values: Any) -> None:
    marks = ", ".join("?" for _ in values)
    warehouse.execute(f"insert into two_tower.{table} values ({marks})", values)


def _catalogue(warehouse: Warehouse) -> None:
    for row in LAYOUT:
        insert(warehouse, "feature_layout", *row, HASH)
    insert(warehouse, "feature_layout_versions", 3, HASH, "2026-01-01")
    insert(warehouse, "int_as_of", "2026-01-01", "2026-01-01", "random", "planted")
    for video in range(VIDEOS):
        features = [[3, 4, 5], [video % 2, 0, video], [1.0, 5.5, 1.0]]
        insert(warehouse, "item_feature_slots", video_id(video), video, *features)
        part = "cold" if video >= VIDEOS - 8 else "head" if video < 8 else "tail"
        count = 0 if part == "cold" else VIDEOS - video
        insert(warehouse, "evaluation_items", video, video_id(video), count, count, 3, part)


def _users(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(2)
    for user in range(USERS):
        mine = rng.permutation([v for v in range(VIDEOS) if group(v) == group(user)])
        liked = sorted(int(video) for video in mine[:5] if video < VIDEOS - 8)
        disliked = (int(mine[0]) + 1) % (VIDEOS - 8)
        seen, labels = [*liked, disliked], [1] * len(liked) + [0]
        features = [[1] + [2] * len(liked), [0, *liked], [0.5] + [1.0] * len(liked)]
        for table in ("user_feature_slots", "training_user_feature_slots"):
            insert(warehouse, table, user_id(user), *features)
        ones = [1.0] * len(seen)
        numbers = [seen, labels, ones, ones, [0] * len(seen), list(range(len(seen)))]
        insert(warehouse, "training_users", user_id(user), *features, *numbers)
        for video in seen:
            insert(warehouse, "interactions", user_id(user), video_id(video))
        targets = sorted(int(video) for video in mine[5:8])
        part = ("new", "light", "heavy")[user % 3]
        insert(warehouse, "evaluation_users", user_id(user), seen, targets, part)


def towers(layout: Layout) -> Towers:
    """Return towers whose vectors are those of the groups, with a little noise."""
    found = Towers(layout)
    state = found.state_dict()
    noise = torch.Generator().manual_seed(1)
    for tower, name in (("user", "liked_video_ids"), ("item", "video_id")):
        block = next(block for block in layout.blocks(tower) if block.feature == name)
        weight = state[f"towers.{tower}.weight"]
        weight.normal_(std=0.01, generator=noise)
        for video in range(VIDEOS):
            weight[block.offset + video, group(video)] += 1
    for block in layout.user:
        if block.kind == "profile":  # who says a group is of it
            rows = state["towers.user.weight"][block.offset : block.offset + block.width]
            rows += torch.eye(block.width, rows.shape[1])
    found.load_state_dict(state)
    return found.eval()


def write_run(settings: Settings, version: str) -> Path:
    """Write a finished run of the planted towers."""
    keys = ("feature_id", "tower", "feature", "kind", "position", "vocabulary", "width")
    rows = [dict(zip(keys, row, strict=True)) for row in LAYOUT]
    layout = Layout.from_rows(rows, HASH, 3)
    run = settings.path(settings.runs_dir) / version
    run.mkdir(parents=True)
    save_towers(run / "towers.pt", towers(layout))
    layout.write(run / "layout.json")
    (run / "config.json").write_text(json.dumps({"loss": "softmax", "seed": 7}))
    history = [
        {"epoch": n, "loss": 2 / n, "ndcg@10": 0.1 * n, "recall@20": 0.12 * n} for n in (1, 2, 3)
    ]
    (run / "history.json").write_text(json.dumps(history))
    return run
