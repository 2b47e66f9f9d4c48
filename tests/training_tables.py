"""Small training tables: users who like the videos of their group, in the form that dbt writes."""

from pathlib import Path

import numpy as np

from two_tower.database.warehouse import Warehouse
from two_tower.model.feature_rows import read_layout
from two_tower.training.data.dataset import Data, read_data, spool

USERS, VIDEOS, GROUPS = 120, 60, 3
WITH_ID = 50  # the last videos are too new for the vocabulary
LIKE, DISLIKE = 1.0, 0.5  # weights
LAYOUT = [
    (1, "user", "tags", "multi_hot", 1, "tag", GROUPS),
    (2, "user", "ratio", "numeric", 2, None, 1),
    (3, "user", "relevant", "history", 3, "video", WITH_ID),
    (4, "user", "reviewed", "history", 4, "video", WITH_ID),
    (5, "item", "tags", "multi_hot", 1, "tag", GROUPS),
    (6, "item", "own_id", "identity", 2, "video", WITH_ID),
]
TABLES = """
create schema two_tower;
create table two_tower.feature_layout (feature_id smallint, tower text, feature text, kind text,
    position integer, vocabulary text, width integer, layout_hash text);
create table two_tower.feature_layout_versions (input_schema_version integer, layout_hash text,
    first_seen_at timestamp);
create table two_tower.item_feature_slots (video_id text, item_number integer,
    feature_ids smallint[], indices integer[], "values" real[]);
create table two_tower.training_users (user_id text, feature_ids smallint[], indices integer[],
    "values" real[], item_numbers integer[], labels smallint[], weights real[],
    relevances real[], folds smallint[], recency_ranks integer[])
"""


def read(warehouse: Warehouse, folder: Path) -> Data:
    """Return the data as training reads it, by way of a folder."""
    layout = read_layout(warehouse)
    spool(warehouse, folder)
    return read_data(folder, layout)


def insert(warehouse: Warehouse, table: str, *values: object) -> None:
    marks = ", ".join("?" for _ in values)
    warehouse.execute(f"insert into two_tower.{table} values ({marks})", values)


def build(warehouse: Warehouse, users: int = USERS) -> None:
    """Write the tables. There is no held-out table: whoever reads one fails."""
    for statement in TABLES.split(";"):
        warehouse.execute(statement)
    for row in LAYOUT:
        insert(warehouse, "feature_layout", *row, "planted")
    insert(warehouse, "feature_layout_versions", 1, "planted", "2026-01-01")
    for video in range(VIDEOS):
        own = [video] if video < WITH_ID else []
        ids, indices = [5] + [6] * len(own), [video % GROUPS, *own]
        insert(warehouse, "item_feature_slots", str(video), video, ids, indices, [1.0] * len(ids))
    rng = np.random.default_rng(1)
    for user in range(users):
        insert(warehouse, "training_users", f"u{user:04d}", *row_of(user, rng))


def insert_in_turn(
    warehouse: Warehouse,
    user: str,
    videos: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    recent: tuple[list[int], list[int], list[float]] = ([], [], []),
    dated: bool = True,
) -> None:
    """Write a user who reviewed these videos one after the other; ``recent`` are further slots."""
    order = np.argsort(videos)
    known, weights = videos[order].tolist(), np.where(labels[order] == 1, LIKE, DISLIKE)
    relevances = (weights**2).tolist()
    ids, indices, values = recent
    insert(
        warehouse,
        "training_users",
        user,
        [3] * len(known) + [4] * len(known) + ids,
        [*known, *known, *indices],
        relevances + [1.0] * len(known) + values,
        known,
        labels[order].tolist(),
        weights.tolist(),
        relevances,
        folds[order].tolist(),
        (np.arange(len(known))[::-1][order] if dated else np.full(len(known), -1)).tolist(),
    )


def row_of(user: int, rng: np.random.Generator) -> tuple[list[float], ...]:
    """Return slots and reviews of a user with 4 to 12 reviews, as the columns are."""
    # The very last video is never reviewed.
    mine = [video for video in range(VIDEOS - 1) if video % GROUPS == user % GROUPS]
    liked = [int(v) for v in rng.choice(mine, int(rng.integers(3, 10)), replace=False)]
    disliked = [int(v) for v in range(VIDEOS - 1) if v % GROUPS != user % GROUPS][user % 7 :][:1]
    reviewed = sorted(liked + disliked)
    known = [video for video in reviewed if video < WITH_ID]
    labels = [int(video in liked) for video in reviewed]
    weights = [LIKE if label else DISLIKE for label in labels]
    relevances = [weight**2 for weight in weights]
    ids = [1, 2] + [3] * len(known) + [4] * len(known)
    indices = [user % GROUPS, 0, *known, *known]
    values = [1.0, 0.7, *relevances[: len(known)], *[1.0] * len(known)]
    folds = [(number + user) % 5 for number in range(len(reviewed))]
    ranks = list(range(len(reviewed)))
    return ids, indices, values, reviewed, labels, weights, relevances, folds, ranks
