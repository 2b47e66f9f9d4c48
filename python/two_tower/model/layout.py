"""The layout of a model's flat feature vectors: where a feature's block begins, how wide it is.

The database stores ``(feature_id, index, value)``; widths grow with the vocabularies, so the
offsets belong to the model, which freezes them here when it is trained. Python knows a feature by
its id, kind, vocabulary and width only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.model.slots import Slots

Tower = Literal["user", "item"]
Kind = Literal[
    "one_hot", "multi_hot", "numeric", "history", "recency", "identity", "profile", "dense"
]

TOWERS: tuple[Tower, ...] = get_args(Tower)
KINDS: tuple[Kind, ...] = get_args(Kind)
# Their rows have as many ones as the user or video has tokens: the towers divide by the norm.
NORMALISED_KINDS: frozenset[Kind] = frozenset(("multi_hot", "history", "recency"))
# Reviews of which nothing is known that each history's norm has beside its own (ADR 17).
SHRINKAGE = 4.0
# Below this a vector counts as zero, and is not divided by its norm.
TINY = 1e-12
# By so much at most may a component differ between two ways of encoding the same row.
TOLERANCE = 1e-5
# They hold the user's past videos, any of which training may hide.
PAST_KINDS: frozenset[Kind] = frozenset(("history", "recency"))


@dataclass(frozen=True)
class Block:
    """One feature's place in the flat vector of its tower: ``[offset, offset + width)``."""

    feature_id: int
    feature: str
    kind: Kind
    vocabulary: str | None
    offset: int
    width: int


@dataclass(frozen=True)
class Layout:
    """The blocks of both towers, in order, as one model has them for ever."""

    layout_hash: str
    input_schema_version: int
    user: tuple[Block, ...]
    item: tuple[Block, ...]

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, Any]], layout_hash: str, input_schema_version: int
    ) -> Layout:
        """Freeze the rows of ``feature_layout``: blocks lie in the order of ``position``.

        Raises:
            InputError: an unknown tower or kind, a feature id twice, or a negative width.
            NotEnoughDataError: a tower without a feature.
        """
        blocks: dict[str, list[Block]] = {tower: [] for tower in TOWERS}
        ends = dict.fromkeys(TOWERS, 0)
        seen: set[int] = set()
        for row in sorted(rows, key=lambda row: int(row["position"])):
            _check(row, seen)
            tower: Tower = row["tower"]
            vocabulary = row["vocabulary"]
            blocks[tower].append(
                Block(
                    feature_id=int(row["feature_id"]),
                    feature=str(row["feature"]),
                    kind=row["kind"],
                    vocabulary=None if vocabulary is None else str(vocabulary),
                    offset=ends[tower],
                    width=int(row["width"]),
                )
            )
            ends[tower] += int(row["width"])
        for tower in TOWERS:
            if ends[tower] == 0:
                raise NotEnoughDataError(
                    f"two_tower.feature_layout gives the {tower} tower no feature of any width",
                    "load reviews and a catalogue, then run dbt build",
                )
        return cls(layout_hash, input_schema_version, tuple(blocks["user"]), tuple(blocks["item"]))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Layout:
        """Undo :meth:`to_dict`."""
        return cls(
            layout_hash=data["layout_hash"],
            input_schema_version=data["input_schema_version"],
            user=tuple(Block(**block) for block in data["user"]),
            item=tuple(Block(**block) for block in data["item"]),
        )

    @classmethod
    def read(cls, path: Path) -> Layout:
        """Read a run's ``layout.json``.

        Raises:
            InputError: there is no such file, or it is no layout.
        """
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no layout: {error}", "train a model anew") from error

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as ``layout.json`` and ``model_meta.json`` hold them."""
        return {
            "layout_hash": self.layout_hash,
            "input_schema_version": self.input_schema_version,
            "user": [asdict(block) for block in self.user],
            "item": [asdict(block) for block in self.item],
        }

    def write(self, path: Path) -> None:
        """Write ``layout.json``."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=2)
        path.write_text(text + "\n", encoding="utf-8")

    def without(self, kinds: Iterable[Kind]) -> Layout:
        """Return the layout of a model that takes no feature of these kinds."""
        gone = frozenset(kinds)
        return self._of([row for row in self._rows() if row["kind"] not in gone])

    def resized(self, widths: Mapping[int, int]) -> Layout:
        """Return the layout with other widths of some features, by their ids."""
        rows = self._rows()
        return self._of([{**r, "width": widths.get(r["feature_id"], r["width"])} for r in rows])

    def _rows(self) -> list[dict[str, Any]]:
        """Return the blocks as :meth:`from_rows` takes them."""
        return [
            {**asdict(block), "tower": tower, "position": position}
            for tower in TOWERS
            for position, block in enumerate(self.blocks(tower))
        ]

    def _of(self, rows: Iterable[Mapping[str, Any]]) -> Layout:
        return Layout.from_rows(rows, self.layout_hash, self.input_schema_version)

    def blocks(self, tower: Tower) -> tuple[Block, ...]:
        """Return the tower's blocks in the order of their offsets."""
        return self.user if tower == "user" else self.item

    def feature_dim(self, tower: Tower) -> int:
        """Return the width of the tower's flat vector."""
        return sum(block.width for block in self.blocks(tower))

    def vocab_sizes(self) -> dict[str, int]:
        """Return the size of each vocabulary as this model knows it."""
        blocks = (*self.user, *self.item)
        return {b.vocabulary: b.width for b in blocks if b.vocabulary is not None}

    def slots(
        self,
        tower: Tower,
        feature_ids: NDArray[Any],
        indices: NDArray[Any],
        values: NDArray[Any],
        offsets: NDArray[Any],
    ) -> Slots:
        """Turn rows of ``(feature_id, index, value)`` into rows of the flat vector.

        Left out: features this model does not know, and indices its vocabularies lacked.

        Args:
            tower: whose rows they are.
            feature_ids: integers ``[slots]``.
            indices: integers ``[slots]``, within the feature.
            values: numbers ``[slots]``.
            offsets: integers ``[rows + 1]``: row ``r`` is ``[offsets[r], offsets[r + 1])``.
        """
        known = self._known[tower]
        ids = np.asarray(feature_ids, dtype=np.int64)
        ids = np.where((ids >= 0) & (ids < known.shape[1] - 1), ids, -1)  # the last: width 0
        places = np.asarray(indices, dtype=np.int64)
        keep = (places >= 0) & (places < known[1, ids])
        kept_before = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum(keep, out=kept_before[1:])
        return Slots(
            positions=(known[0, ids] + places)[keep],
            values=np.asarray(values, dtype=np.float32)[keep],
            offsets=kept_before[np.asarray(offsets, dtype=np.int64)],
        )

    def dense(
        self,
        tower: Tower,
        feature_ids: NDArray[Any],
        indices: NDArray[Any],
        values: NDArray[Any],
        offsets: NDArray[Any],
    ) -> NDArray[np.float32]:
        """Return the flat vectors the ONNX model takes, float32 ``[rows, feature_dim]``."""
        return self.densify(tower, self.slots(tower, feature_ids, indices, values, offsets))

    def densify(self, tower: Tower, slots: Slots) -> NDArray[np.float32]:
        """Return ``slots`` as float32 ``[rows, feature_dim]``."""
        flat = np.zeros((len(slots), self.feature_dim(tower)), dtype=np.float32)
        flat[slots.rows, slots.positions] = slots.values
        return flat

    def weighed(
        self, tower: Tower, slots: Slots, shrinkage: float = SHRINKAGE
    ) -> NDArray[np.float32]:
        """Return each slot's value by the norm of its block in its row, float32 ``[slots]``.

        Blocks of numbers and of one token are as they are; the square of a history's norm has
        ``shrinkage`` beside those of its slots.
        """
        block_of, is_normalised, is_history = self._norms[tower]
        blocks = len(is_normalised)
        block = block_of[slots.positions]
        cells = slots.rows * blocks + block
        squares = np.bincount(cells, slots.values**2, minlength=len(slots) * blocks)
        squares = squares + np.tile(shrinkage * is_history, len(slots))
        inverse = 1 / np.sqrt(np.where(squares > 0, squares, 1))
        factors = np.where(is_normalised[block], inverse[cells], 1)
        return np.asarray(slots.values * factors, dtype=np.float32)

    @cached_property
    def _norms(self) -> dict[Tower, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """The block of each place, and which blocks are normalised and histories, by tower."""
        return {
            tower: (
                np.repeat(np.arange(len(blocks)), [block.width for block in blocks]),
                np.array([block.kind in NORMALISED_KINDS for block in blocks]),
                np.array([block.kind == "history" for block in blocks]),
            )
            for tower in TOWERS
            for blocks in (self.blocks(tower),)
        }

    @cached_property
    def _known(self) -> dict[Tower, NDArray[np.int64]]:
        """Offset and width by feature id, ``[2, ids + 1]``; the last column is the unknown one."""
        found = {}
        for tower in TOWERS:
            blocks = self.blocks(tower)
            known = np.zeros((2, max((b.feature_id for b in blocks), default=-1) + 2), np.int64)
            for block in blocks:
                known[:, block.feature_id] = block.offset, block.width
            found[tower] = known
        return found


def _check(row: Mapping[str, Any], seen: set[int]) -> None:
    """Refuse a row that no model could be built on."""
    where = f"two_tower.feature_layout, feature {row['feature']!r}"
    if row["tower"] not in TOWERS:
        raise InputError(f"{where}: tower {row['tower']!r}", f"one of {', '.join(TOWERS)}")
    if row["kind"] not in KINDS:
        raise InputError(f"{where}: kind {row['kind']!r}", f"one of {', '.join(KINDS)}")
    if int(row["feature_id"]) < 0 or int(row["feature_id"]) in seen:
        raise InputError(
            f"{where}: feature_id {row['feature_id']} is taken or negative", "give it a new one"
        )
    if int(row["width"]) < 0:
        raise InputError(f"{where}: width {row['width']}", "a width is 0 or more")
    seen.add(int(row["feature_id"]))
