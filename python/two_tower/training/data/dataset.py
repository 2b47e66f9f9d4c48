"""The training data: spooled once from the database into Arrow files, read memory-mapped.

In memory are the catalogue's slots and a few bytes a user; reviews and user features are paged in a
batch at a time (ADR 6).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.progress import bar
from two_tower.database.warehouse import Warehouse
from two_tower.model import feature_rows
from two_tower.model.layout import Kind, Layout
from two_tower.model.slots import Slots, ragged

SLOTS = {
    "feature_ids": pa.list_(pa.int16()),
    "indices": pa.list_(pa.int32()),
    "values": pa.list_(pa.float32()),
}
SCHEMAS = {
    "training_users": pa.schema(
        {
            **SLOTS,
            "item_numbers": pa.list_(pa.int32()),
            "labels": pa.list_(pa.int16()),
            "weights": pa.list_(pa.float32()),
            "relevances": pa.list_(pa.float32()),
            "folds": pa.list_(pa.int16()),
            "recency_ranks": pa.list_(pa.int32()),
        }
    ),
    "item_feature_slots": pa.schema({"item_number": pa.int32(), **SLOTS}),
}
T = TypeVar("T")

# The training reviews that a model is chosen on: withheld while it is, then trained on (ADR 12).
VALIDATION_FOLD = 0


@dataclass(frozen=True)
class UserRows:
    """Some users: their features, and their training reviews as ragged rows."""

    slots: Slots
    items: NDArray[np.int64]  # item number of the reviewed video, [reviews]
    liked: NDArray[np.bool_]  # [reviews]
    weights: NDArray[np.float32]  # stars / 5, [reviews]
    relevances: NDArray[np.float32]  # (stars / 5)^2, [reviews]
    folds: NDArray[np.int16]  # 0..9, [reviews]
    recency_ranks: NDArray[np.int32]  # 0: the latest, -1: order unknown, [reviews]
    offsets: NDArray[np.int64]  # where each user's reviews begin, [users + 1]
    held: NDArray[np.bool_]  # withheld from the model, [reviews]

    def __len__(self) -> int:
        return len(self.slots)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The row of each review, int64 ``[reviews]``."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    @cached_property
    def in_order(self) -> NDArray[np.bool_]:
        """Whether a review's place in time is known, bool ``[reviews]``."""
        return self.recency_ranks >= 0


class Users:
    """Random access to the spooled users by row number. Pickled, they are the path of their file.

    Raises:
        InputError: another version of this program spooled them, or there is no such file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.absolute() / "training_users.arrow"
        self._starts = self._counted()

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("path", "_starts")}

    @cached_property
    def _chunks(self) -> list[dict[str, tuple[NDArray[Any], NDArray[Any]]]]:
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(self.path)))
        except FileNotFoundError:
            raise InputError(
                f"{socket.gethostname()} has no {self.path}",
                "TWO_TOWER_RUNS_DIR has to be a folder that every node of the cluster mounts",
            ) from None
        if missing := set(_LISTS) - set(reader.schema.names):
            raise InputError(
                f"{self.path} lacks {', '.join(sorted(missing))}: another version wrote it",
                "train a model anew, without --resume",
            )
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        return [_columns(batch) for batch in batches]

    def _counted(self) -> NDArray[np.int64]:
        sizes = [len(chunk["values"][1]) - 1 for chunk in self._chunks]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, rows: NDArray[np.int64], layout: Layout, fold: int | None = None) -> UserRows:
        """Return the users with these row numbers, int64 ``[n]``, rising; a fold is held."""
        cuts = np.searchsorted(rows, self._starts)
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _LISTS}
        lengths: dict[str, list[NDArray[np.int64]]] = {"values": [], "items": []}
        for number, chunk in enumerate(self._chunks):
            local = rows[cuts[number] : cuts[number + 1]] - self._starts[number]
            if not len(local):
                continue
            for names, leader in ((_FEATURES, "values"), (_REVIEWS, "items")):
                places, taken = ragged(chunk[names[0]][1], local)
                lengths[leader].append(np.diff(taken))
                for name in names:
                    parts[name].append(chunk[name][0][places])
        flat = {name: _joined(part) for name, part in parts.items()}
        of_slots, offsets = (
            np.concatenate([[0], np.cumsum(_joined(each))]) for each in lengths.values()
        )
        folds = flat["folds"].astype(np.int16)
        return UserRows(
            layout.slots("user", flat["feature_ids"], flat["indices"], flat["values"], of_slots),
            flat["item_numbers"].astype(np.int64),
            flat["labels"] > 0,
            flat["weights"].astype(np.float32),
            flat["relevances"].astype(np.float32),
            folds,
            flat["recency_ranks"].astype(np.int32),
            offsets,
            np.zeros(len(folds), np.bool_) if fold is None else folds == fold,
        )

    def chunks(
        self, layout: Layout, size: int = 4096
    ) -> Iterator[tuple[NDArray[np.int64], UserRows]]:
        """Yield all users in order, with their row numbers, ``size`` at a time."""
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)), dtype=np.int64)
            yield rows, self.read(rows, layout)


@dataclass(frozen=True)
class Items:
    """The catalogue; row ``n`` is item number ``n``."""

    slots: Slots
    identity: NDArray[np.int64]  # index in the vocabulary ``video``, -1 without one, [items]
    is_identity: NDArray[np.bool_]  # places that say who the video is, [item_feature_dim]

    def __len__(self) -> int:
        return len(self.slots)


def spool(warehouse: Warehouse, folder: Path) -> None:
    """Copy the training tables into Arrow files in ``folder``.

    Raises:
        NotEnoughDataError: a table is missing.
        InputError: a column holds a null.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table, schema in SCHEMAS.items():
        source = f"{warehouse.schema}.{table}"
        if not warehouse.relation_exists(warehouse.schema, table):
            raise NotEnoughDataError(f"{source} does not exist", "run dbt build first")
        count = warehouse.fetch(f"select count(*) as rows from {source}")[0]["rows"]
        columns = ", ".join(f'"{name}"' for name in schema.names)
        # The same rows in the same order give the same model.
        order = "item_number" if "item_number" in schema.names else "user_id"
        query = f"select {columns} from {source} order by {order}"
        with (
            bar(f"Reading {table}", float(count)) as shown,
            pa.OSFile(str(folder / f"{table}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            for batch in warehouse.read_arrow(query):
                rows = pa.table(batch).cast(schema)
                _refuse_nulls(table, rows)
                writer.write_table(rows)
                shown.advance(rows.num_rows)


def read_items(folder: Path, layout: Layout) -> Items:
    """Read the spooled catalogue.

    Raises:
        InputError: the item numbers have gaps.
    """
    with pa.memory_map(str(folder / "item_feature_slots.arrow")) as source:
        table = pa.ipc.open_file(source).read_all().combine_chunks()
    numbers = table["item_number"].to_numpy()
    if not np.array_equal(numbers, np.arange(len(numbers))):
        raise InputError(
            "two_tower.item_feature_slots: item_number is not 0, 1, 2, … without gaps",
            "run dbt build, which numbers the videos anew",
        )
    slots = feature_rows.slots(layout, "item", table)
    identity = np.full(len(slots), -1, dtype=np.int64)
    is_identity = np.zeros(layout.feature_dim("item"), dtype=np.bool_)
    for block in layout.item:
        if block.kind == "identity":
            index = slots.positions - block.offset
            inside = (index >= 0) & (index < block.width)
            identity[slots.rows[inside]] = index[inside]
            is_identity[block.offset : block.offset + block.width] = True
    return Items(slots, identity, is_identity)


class Workers(Protocol):
    """Other processes that read the same data."""

    def map(
        self, data: Data, rows: NDArray[np.int64], found: Callable[[Data, NDArray[np.int64]], T]
    ) -> Iterator[T]:
        """See :meth:`Data.map`."""
        ...


@dataclass(frozen=True)
class Data:
    """The spooled data, and what one pass over them counted."""

    layout: Layout
    users: Users
    items: Items
    like_counts: NDArray[np.int64]  # [items]
    review_counts: NDArray[np.int64]  # training reviews, [items]
    likers: NDArray[np.int64]  # rows of users with a like, rising
    search_likers: NDArray[np.int64]  # those with a like outside the validation fold
    validation: NDArray[np.int64]  # those with a like inside and a review outside of it
    reviews: int  # training reviews in all
    asks_next: bool  # for most users the validation fold came after the rest
    fold: int | None = None  # withheld in this view
    workers: Workers | None = None  # who help with passes over users

    @property
    def fitted(self) -> NDArray[np.int64]:
        """Rows of the users whom a model is fitted on: those with a like that is not withheld."""
        return self.likers if self.fold is None else self.search_likers

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Which videos have a training review, bool ``[items]``."""
        return self.review_counts > 0

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Which videos have a vector of their own, bool ``[items]``: reviewed ones with an id.

        Where no reviewed one has an id all reviewed ones have.
        """
        known = self.seen & (self.items.identity >= 0)
        return known if known.any() else self.seen

    def read(self, rows: NDArray[np.int64]) -> UserRows:
        """Return the users with these row numbers, int64 ``[n]``, rising."""
        return self.users.read(rows, self.layout, self.fold)

    def map(
        self, rows: NDArray[np.int64], found: Callable[[Data, NDArray[np.int64]], T]
    ) -> Iterator[T]:
        """Yield what is found in these users, int64 ``[n]``, rising: in all at once, or a block
        of them each, in their order, where workers help."""
        if self.workers is None:
            yield found(self, rows)
        else:
            yield from self.workers.map(self, rows, found)

    def without(self, kinds: Iterable[Kind]) -> Data:
        """Return the same data without a user's features of these kinds."""
        return replace(self, layout=self.layout.without(kinds))

    def without_fold(self, fold: int) -> Data:
        """Return a view in which the reviews of a fold are ``held``.

        Counts are those of all reviews.
        """
        assert fold == VALIDATION_FOLD, "of no other one it is known who likes something outside"
        return replace(self, fold=fold)


def read_data(folder: Path, layout: Layout) -> Data:
    """Open the spooled tables, and count in one pass over all users.

    Raises:
        NotEnoughDataError: no users, no videos, or no likes.
        InputError: a review of a video that is not in the catalogue, item numbers with gaps, or
            tables that another version of this program spooled.
    """
    items, users = read_items(folder, layout), Users(folder)
    if not len(users) or not len(items):
        raise NotEnoughDataError(
            f"{len(users)} users with a training review, {len(items)} videos: nothing to train on",
            "load reviews of videos that are in the catalogue, then run dbt build",
        )
    review_counts = np.zeros(len(items), dtype=np.int64)
    like_counts = np.zeros(len(items), dtype=np.int64)
    found: list[list[NDArray[np.int64]]] = []
    later = asked = 0
    for rows, part in users.chunks(layout):
        if len(part.items) and (part.items.max() >= len(items) or part.items.min() < 0):
            raise InputError(
                "two_tower.training_users names an item number that item_feature_slots lacks",
                "run dbt build, so that both are of one build",
            )
        review_counts += np.bincount(part.items, minlength=len(items))
        like_counts += np.bincount(part.items[part.liked], minlength=len(items))
        held = part.folds == VALIDATION_FOLD
        has_others = np.bincount(part.rows[~held], minlength=len(part)) > 0
        both, after = _order(part, held)
        asked += int(both.sum())
        later += int(after.sum())
        # Of whoever has no review outside the fold a model would see nothing.
        in_validation = part.liked & held & has_others[part.rows]
        masks = (part.liked, part.liked & ~held, in_validation)
        found.append([rows[np.unique(part.rows[mask])] for mask in masks])
    likers, search, validation = (np.concatenate(parts) for parts in zip(*found, strict=True))
    reviews = int(review_counts.sum())
    if not len(likers):
        raise NotEnoughDataError(
            f"no user likes anything: {reviews} training reviews, none of them a like",
            "a like is a review of 4 stars or more (the dbt var liked_from_stars)",
        )
    return Data(
        layout=layout,
        users=users,
        items=items,
        like_counts=like_counts,
        review_counts=review_counts,
        likers=likers,
        search_likers=search,
        validation=validation,
        reviews=reviews,
        asks_next=2 * later > asked,
    )


def _order(part: UserRows, held: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return who has dated reviews in and out of the fold, and whose are all later in it.

    Both are bool ``[users]``.
    """
    never = np.iinfo(np.int32).max
    oldest_held, latest_other = np.full(len(part), -1), np.full(len(part), never)
    held, others = held & part.in_order, ~held & part.in_order
    np.maximum.at(oldest_held, part.rows[held], part.recency_ranks[held])
    np.minimum.at(latest_other, part.rows[others], part.recency_ranks[others])
    both = (oldest_held >= 0) & (latest_other < never)
    return both, both & (oldest_held < latest_other)


_FEATURES = tuple(SLOTS)
_LISTS = tuple(SCHEMAS["training_users"].names)
_REVIEWS = _LISTS[len(_FEATURES) :]


def _columns(batch: pa.RecordBatch) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return each list column as its flat elements and offsets, without copying."""
    columns = {name: batch.column(name) for name in _LISTS}
    return {name: (c.values.to_numpy(), c.offsets.to_numpy()) for name, c in columns.items()}


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _refuse_nulls(table: str, rows: pa.Table) -> None:
    for name in rows.column_names:
        for chunk in rows[name].chunks:
            inside = chunk.values.null_count if pa.types.is_list(chunk.type) else 0
            if chunk.null_count or inside:
                raise InputError(
                    f"two_tower.{table}: column {name} holds a null", "run dbt build and its tests"
                )
