"""The held-out users and the catalogue they are ranked over, from the evaluation models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from two_tower.baselines import liked_items
from two_tower.errors import InputError, NotEnoughDataError
from two_tower.layout import Slots
from two_tower.ragged import Ragged, slots
from two_tower.ranking import Catalogue, HeldOut
from two_tower.towers import Towers
from two_tower.warehouse import Warehouse

# The users who are evaluated: as many, chosen by a hash, so that every run asks the same ones.
MAX_USERS = 50_000
# Scores in memory at once: 64 MB of float32.
SCORE_CELLS = 16_000_000

TABLES = (
    "evaluation_users",
    "evaluation_items",
    "item_feature_slots",
    "training_user_feature_slots",
    "training_users",
)
ITEMS = """
select items.item_number, items.item_slice, items.train_review_count,
    s.feature_ids, s.indices, s."values"
from two_tower.evaluation_items as items
inner join two_tower.item_feature_slots as s on s.item_number = items.item_number
order by items.item_number
"""
USERS = """
with chosen as (
    select user_id, train_item_numbers, target_item_numbers, user_slice
    from two_tower.evaluation_users
    order by md5('evaluation:' || user_id), user_id
    limit {limit}
)
select chosen.train_item_numbers, chosen.target_item_numbers, chosen.user_slice,
    s.feature_ids, s.indices, s."values", t.item_numbers, t.labels
from chosen
left join two_tower.training_user_feature_slots as s on s.user_id = chosen.user_id
left join two_tower.training_users as t on t.user_id = chosen.user_id
"""


@dataclass(frozen=True)
class Batch:
    """Some held-out users: who they are, their features, and what they liked in training."""

    users: HeldOut
    slots: Slots
    liked: Ragged


def count_users(warehouse: Warehouse) -> int:
    """Return how many users have held-out likes.

    Raises:
        NotEnoughDataError: none, or the models have not been built.
    """
    for table in TABLES:
        if not warehouse.relation_exists("two_tower", table):
            raise NotEnoughDataError(f"two_tower.{table} does not exist", "run dbt build first")
    rows = warehouse.fetch("select count(*) as users from two_tower.evaluation_users")
    users = int(rows[0]["users"])
    if users == 0:
        raise NotEnoughDataError(
            "no user has a held-out like, so there is nothing to measure a model on",
            "load more reviews (some of 4 stars and up), or raise the var valid_fraction, and run"
            " dbt build",
        )
    return users


def read_catalogue(warehouse: Warehouse, towers: Towers) -> tuple[Catalogue, torch.Tensor]:
    """Return the catalogue and the embeddings of its videos, float32 ``[items, dim]``.

    Raises:
        InputError: item numbers are not 0, 1, 2, …
    """
    vectors, numbers, slices, reviews = [], [], [], []
    for batch in warehouse.read_arrow(ITEMS):
        with torch.no_grad():
            vectors.append(towers.forward_sparse("item", slots(towers.layout, "item", batch)))
        numbers.append(batch["item_number"].to_numpy(zero_copy_only=False))
        slices.append(_strings(batch["item_slice"], "items"))
        reviews.append(batch["train_review_count"].to_numpy(zero_copy_only=False))
    found = np.concatenate(numbers or [np.zeros(0)])
    if not len(found) or not np.array_equal(found, np.arange(len(found))):
        raise InputError(
            "two_tower.evaluation_items and item_feature_slots do not hold the same videos,"
            " numbered 0, 1, 2, …",
            "run dbt build: they come from two different builds",
        )
    popularity = np.concatenate(reviews).astype(np.float64)
    return Catalogue(np.concatenate(slices), popularity), torch.cat(vectors)


def read_users(warehouse: Warehouse, towers: Towers, items: int) -> Iterator[Batch]:
    """Yield the held-out users, so many at once that their scores fit ``SCORE_CELLS``."""
    step = max(1, SCORE_CELLS // items)
    for rows in warehouse.read_arrow(USERS.format(limit=MAX_USERS)):
        for start in range(0, rows.num_rows, step):
            batch = rows.slice(start, step)
            yield Batch(
                HeldOut(
                    _strings(batch["user_slice"], "users"),
                    Ragged.of(batch["train_item_numbers"], np.int64),
                    Ragged.of(batch["target_item_numbers"], np.int64),
                ),
                slots(towers.layout, "user", batch),
                liked_items(batch),
            )


def _strings(column: pa.Array, suffix: str) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.array([f"{name}_{suffix}" for name in column.to_pylist()])
