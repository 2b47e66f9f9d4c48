"""From a built project to the peers' problem and the targets, which stay here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.quality.exchange import Bools, Ints, Problem
from benchmarks.quality.protocols import NEWCOMER_LIKES, Protocol
from benchmarks.quality.scratch import Scratch
from benchmarks.quality.split import Split
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.model.feature_rows import read_layout, slots
from two_tower.model.slots import Ragged

VALIDATION_FOLD = 0
COLD_SHARE = 0.1

USERS = """
select user_id, item_numbers, labels, relevances, folds
from two_tower.training_users order by user_id
"""
ITEMS = """
select cast(video_id as text) as video_id, feature_ids, indices, "values"
from two_tower.item_feature_slots order by item_number
"""


@dataclass(frozen=True)
class Case:
    """A problem, and what its answers are measured on.

    Attributes:
        problem: what the peers are given.
        user_ids: of the problem's users.
        video_ids: of its items.
        targets: held-out likes of the asked users, ``[asked, items]``.
        newcomer_targets: those of the newcomers, ``[newcomers, items]``.
        newcomer_likes: how many likes each newcomer names, int64 ``[newcomers]``.
    """

    problem: Problem
    user_ids: list[str]
    video_ids: list[str]
    targets: sparse.csr_matrix
    newcomer_targets: sparse.csr_matrix
    newcomer_likes: Ints


def read(project: Scratch, split: Split, protocol: Protocol) -> Case:
    """Read what the project was trained on, and put the held-out likes beside it."""
    with open_warehouse(project.settings) as warehouse:
        user_ids, reviews = _reviews(warehouse)
        video_ids, features, is_tag = _items(warehouse)
    users, items, liked, relevances, folds = reviews
    shape = (len(user_ids), len(video_ids))
    held_items = np.unique(_places(split.held_items, video_ids))
    among = np.zeros(shape[1], dtype=np.bool_)
    validation, validation_among = folds == VALIDATION_FOLD, among
    if protocol.ranks_cold:
        among[held_items] = True
        validation_among = _some_reviewed(items, shape[1])
        validation = validation_among[items]
    targets, asked = held_out_likes(split, user_ids, video_ids)
    given, newcomer_targets, counts = newcomers(split, video_ids, protocol)
    problem = Problem(
        users,
        items,
        liked,
        relevances,
        validation,
        shape,
        features,
        is_tag,
        asked,
        among,
        validation_among,
        given,
    )
    return Case(problem, user_ids, video_ids, targets, newcomer_targets, counts)


def _reviews(
    warehouse: Warehouse,
) -> tuple[list[str], tuple[Ints, Ints, Bools, NDArray[np.float32], Ints]]:
    """Return the user ids, and each training review's row, item, label, relevance and fold."""
    table = warehouse.read_arrow(USERS).read_all()
    items = Ragged.of(table["item_numbers"], np.int64)
    liked = Ragged.of(table["labels"], np.int64).values == 1
    folds = Ragged.of(table["folds"], np.int64).values
    relevances = Ragged.of(table["relevances"], np.float32).values
    return table["user_id"].to_pylist(), (items.rows, items.values, liked, relevances, folds)


def _items(warehouse: Warehouse) -> tuple[list[str], sparse.csr_matrix, Bools]:
    """Return the video ids, their features without their own ids, and which of these are tags."""
    layout = read_layout(warehouse)
    table = warehouse.read_arrow(ITEMS).read_all()
    found = slots(layout, "item", table)
    shape = (len(found), layout.feature_dim("item"))
    whole = sparse.csr_matrix((found.values, found.positions, found.offsets), shape=shape)
    kept = np.ones(shape[1], dtype=np.bool_)
    is_tag = np.zeros(shape[1], dtype=np.bool_)
    for block in layout.item:
        columns = slice(block.offset, block.offset + block.width)
        kept[columns] = block.kind in ("one_hot", "multi_hot")
        is_tag[columns] = block.vocabulary == "tag"
    return table["video_id"].to_pylist(), whole[:, kept].tocsr(), is_tag[kept]


def held_out_likes(
    split: Split, user_ids: list[str], video_ids: list[str]
) -> tuple[sparse.csr_matrix, Ints]:
    """Return the held-out likes of the users who train, and the rows of those who have any."""
    train = set(user_ids)
    trains = np.array([user in train for user in split.held_users], dtype=np.bool_)
    known = split.held_liked & trains
    rows = _places(split.held_users[known], user_ids)
    columns = _places(split.held_items[known], video_ids)
    whole = _ones(rows, columns, (len(user_ids), len(video_ids)))
    asked = np.unique(rows)
    return whole[asked], asked


def newcomers(
    split: Split, video_ids: list[str], protocol: Protocol
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, Ints]:
    """Return the likes that newcomers name, the likes they are to find, and how many they name.

    A user is asked for once for each number of likes, by the first of those that the split shows;
    what is to be found is the same each time. Users with fewer likes to show are left out.
    """
    given: list[list[int]] = []
    wanted: list[list[int]] = []
    counts: list[int] = []
    number = {video_id: place for place, video_id in enumerate(video_ids)}
    most = max(NEWCOMER_LIKES)
    for user in np.unique(split.held_users) if protocol.asks_newcomers else ():
        rows = np.flatnonzero(split.held_liked & (split.held_users == user))
        rows = rows[np.argsort(split.held_places[rows], kind="stable")]
        to_find = [number[video] for video in split.held_items[rows[split.held_places[rows] < 0]]]
        shown = [number[video] for video in split.held_items[rows[split.held_places[rows] >= 0]]]
        for count in NEWCOMER_LIKES if len(shown) >= most and to_find else ():
            given.append(shown[:count])
            wanted.append(to_find)
            counts.append(count)
    return (
        _ragged(given, len(video_ids)),
        _ragged(wanted, len(video_ids)),
        np.array(counts, dtype=np.int64),
    )


def _some_reviewed(items: Ints, count: int) -> Bools:
    """Return a tenth of the videos that have training reviews, bool ``[items]``."""
    reviewed = np.unique(items)
    chosen = np.random.default_rng(0).permutation(reviewed)[: int(len(reviewed) * COLD_SHARE)]
    among = np.zeros(count, dtype=np.bool_)
    among[chosen] = True
    return among


def _places(names: np.ndarray, known: list[str]) -> Ints:
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[name] for name in names], dtype=np.int64)


def _ragged(rows: list[list[int]], width: int) -> sparse.csr_matrix:
    lengths = [len(row) for row in rows]
    values = np.array([value for row in rows for value in row], dtype=np.int64)
    return _ones(np.repeat(np.arange(len(rows)), lengths), values, (len(rows), width))


def _ones(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sparse.csr_matrix:
    ones = np.ones(len(rows), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (rows, columns)), shape=shape)
    matrix.sort_indices()
    return matrix
