"""The held-out users and the catalogue they are ranked over, from the evaluation models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.database.warehouse import Warehouse
from two_tower.evaluation.baselines import liked_items
from two_tower.evaluation.ranking import Catalogue, HeldOut
from two_tower.model.feature_rows import slots
from two_tower.model.layout import Block, Layout
from two_tower.model.slots import Ragged, Slots
from two_tower.model.towers import Towers

# Evaluated users: the first by a hash of their id, so that all runs measure the same users. A mean
# over so many has a standard error below .25 % of its metric's range (.5 / sqrt(50,000)).
MAX_USERS = 50_000
# Scores in memory at once: 64 MB of float32.
SCORE_CELLS = 16_000_000

TABLES = (
    "evaluation_users",
    "evaluation_items",
    "evaluation_cold_users",
    "item_feature_slots",
    "training_user_feature_slots",
    "training_users",
)
ITEMS = """
select items.item_number, items.item_slice, items.train_review_count, items.valid_review_count,
    s.feature_ids, s.indices, s."values"
from {schema}.evaluation_items as items
inner join {schema}.item_feature_slots as s on s.item_number = items.item_number
order by items.item_number
"""
CHOSEN = """
with chosen as (
    select user_id, train_item_numbers, target_item_numbers, user_slice
    from {schema}.evaluation_users
    order by md5('evaluation:' || user_id), user_id
    limit {limit}
)
select chosen.user_id, chosen.train_item_numbers, chosen.target_item_numbers, chosen.user_slice,
    md5('evaluation:' || chosen.user_id) as place, s.feature_ids, s.indices, s."values", """
USERS = """t.item_numbers, t.labels
from chosen
left join {schema}.training_user_feature_slots as s on s.user_id = chosen.user_id
left join {schema}.training_users as t on t.user_id = chosen.user_id
"""
COLD_USERS = """s.item_numbers
from chosen
inner join {schema}.evaluation_cold_users as s
    on s.user_id = chosen.user_id and s.like_count = {like_count}
"""


@dataclass(frozen=True)
class HeldOutBatch:
    """A batch of held-out users.

    Attributes:
        users: their ids, slices, seen videos and targets.
        slots: their features in the layout of the model.
        rows: feature_ids, indices and values, from which another model makes its slots.
        places: md5 of each user's id, by which users are chosen.
    """

    users: HeldOut
    slots: Slots
    rows: pa.RecordBatch
    places: list[str]


def count_users(warehouse: Warehouse) -> int:
    """Return the number of users with held-out likes.

    Raises:
        NotEnoughDataError: there are none, or the evaluation models have not been built.
    """
    schema = warehouse.schema
    for table in TABLES:
        if not warehouse.relation_exists(schema, table):
            raise NotEnoughDataError(f"{schema}.{table} does not exist", "run dbt build first")
    rows = warehouse.fetch(f"select count(*) as users from {schema}.evaluation_users")
    users = int(rows[0]["users"])
    if users == 0:
        raise NotEnoughDataError(
            "no user has a held-out like, so there is nothing to measure a model on",
            "load more reviews (some of 4 stars and up), or raise the vars valid_fraction and"
            " cold_share, and run dbt build",
        )
    return users


def read_like_counts(warehouse: Warehouse) -> list[int]:
    """Return the numbers of likes shown for cold users; empty unless the split holds out users."""
    rows = warehouse.fetch(
        f"select distinct like_count from {warehouse.schema}.evaluation_cold_users"
        " order by like_count"
    )
    return [int(row["like_count"]) for row in rows]


def read_catalogue(warehouse: Warehouse, towers: Towers) -> tuple[Catalogue, torch.Tensor]:
    """Return the catalogue and the embeddings of its videos, float32 ``[items, dim]``.

    Raises:
        InputError: item numbers are not 0, 1, 2, …
    """
    vectors, columns, content, tastes = [], [], [], []
    reader = warehouse.read_arrow(ITEMS.format(schema=warehouse.schema))
    for batch in reader:
        rows = slots(towers.layout, "item", batch)
        with torch.no_grad():
            vectors.append(towers.forward_sparse("item", rows))
        content.append(tokens(rows, content_blocks(towers.layout), towers.layout))
        tastes.append(tokens(rows, taste_blocks(towers.layout), towers.layout))
        columns.append(batch)
    table = pa.Table.from_batches(columns, reader.schema)
    if not len(table) or not np.array_equal(table["item_number"], np.arange(len(table))):
        raise InputError(
            f"{warehouse.schema}.evaluation_items and item_feature_slots do not hold the same"
            " videos, numbered 0, 1, 2, …",
            "run dbt build: they come from two different builds",
        )
    found = warehouse.fetch(f"select count(*) as users from {warehouse.schema}.training_users")
    popularity = np.asarray(table["train_review_count"], dtype=np.float64)
    catalogue = Catalogue(
        item_slices=_strings(table["item_slice"], "items"),
        popularity=popularity,
        users=int(found[0]["users"]),
        is_held_out=(popularity == 0) & (np.asarray(table["valid_review_count"]) > 0),
        content=_divided(sparse.vstack(content, format="csr"), power=0.5),
        tastes=_divided(sparse.vstack(tastes, format="csr"), power=1),
    )
    return catalogue, torch.cat(vectors)


def read_vectors(warehouse: Warehouse, towers: Towers) -> torch.Tensor:
    """Return another model's embeddings of the catalogue, float32 ``[items, dim]``."""
    reader = warehouse.read_arrow(ITEMS.format(schema=warehouse.schema))
    with torch.no_grad():
        vectors = [
            towers.forward_sparse("item", slots(towers.layout, "item", batch)) for batch in reader
        ]
    return torch.cat(vectors)


def read_users(
    warehouse: Warehouse, towers: Towers, items: int, like_count: int | None = None
) -> Iterator[HeldOutBatch]:
    """Yield the held-out users in batches whose scores fit ``SCORE_CELLS``.

    Args:
        warehouse: the database with the evaluation models.
        towers: the model whose layout the slots have.
        items: number of videos in the catalogue.
        like_count: number of likes shown for cold users; None for users with training reviews.
    """
    step = max(1, SCORE_CELLS // items)
    query = CHOSEN + (USERS if like_count is None else COLD_USERS)
    query = query.format(schema=warehouse.schema, limit=MAX_USERS, like_count=like_count)
    for rows in warehouse.read_arrow(query):
        for start in range(0, rows.num_rows, step):
            batch = rows.slice(start, step)
            known = like_count is None
            yield HeldOutBatch(
                HeldOut(
                    np.array(batch["user_id"].to_pylist()),
                    _strings(batch["user_slice"], "users"),
                    Ragged.of(batch["train_item_numbers"], np.int64),
                    Ragged.of(batch["target_item_numbers"], np.int64),
                    liked_items(batch) if known else Ragged.of(batch["item_numbers"], np.int32),
                ),
                slots(towers.layout, "user", batch),
                batch,
                batch["place"].to_pylist(),
            )


def content_blocks(layout: Layout) -> list[Block]:
    """Return the blocks of a video's content: all tokens except its id.

    Numeric features are left out: at their scale a single one would outweigh all tokens.
    """
    return [block for block in layout.item if block.kind in ("one_hot", "multi_hot")]


def taste_blocks(layout: Layout) -> list[Block]:
    """Return the multi_hot item blocks whose vocabulary a multi_hot user block has too."""
    described = {block.vocabulary for block in layout.user if block.kind == "multi_hot"}
    return [
        block
        for block in layout.item
        if block.kind == "multi_hot" and block.vocabulary in described
    ]


def tokens(rows: Slots, blocks: Iterable[Block], layout: Layout) -> sparse.csr_matrix:
    """Return the slots of some blocks as ones, float64 ``[rows, feature_dim]``."""
    width = layout.feature_dim("item")
    is_inside = np.zeros(width, dtype=np.bool_)
    for block in blocks:
        is_inside[block.offset : block.offset + block.width] = True
    kept = is_inside[rows.positions]
    offsets = np.concatenate([[0], np.cumsum(kept)])[rows.offsets]
    ones = np.ones(int(kept.sum()))
    return sparse.csr_matrix((ones, rows.positions[kept], offsets), shape=(len(rows), width))


def _divided(rows: sparse.csr_matrix, power: float) -> sparse.csr_matrix:
    """Return rows of ones, each divided by a power of the number of ones in its row."""
    counts = np.maximum(np.diff(rows.indptr), 1).astype(np.float64)
    return (sparse.diags(counts**-power) @ rows).tocsr()


def _strings(
    column: pa.Array | pa.ChunkedArray, suffix: str
) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.array([f"{name}_{suffix}" for name in column.to_pylist()])
