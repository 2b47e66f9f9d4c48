"""Vectors as features of videos, at fewer numbers: a team's own text embeddings have hundreds.

They are trained on at their leading axes, those of the largest sum of squares. The weights for
these become weights for all numbers by one product: the model takes the vectors as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg, sparse

from two_tower.model.layout import Block, Layout
from two_tower.model.slots import Slots
from two_tower.model.towers import Towers
from two_tower.training.data.dataset import Data, Items

# Axes that are kept of each feature.
AXES = 64
# Vectors that are laid out at a time: 64 MB of 800 numbers.
ROWS = 20_000


@dataclass(frozen=True)
class Reduced:
    """Data with vectors at their leading axes.

    Attributes:
        data: the training data; its layout has ``AXES`` places for each wider vector.
        axes: feature id -> the axes, float64 ``[width, AXES]``; empty where nothing was wider.
    """

    data: Data
    axes: dict[int, NDArray[np.float64]]

    def restored(self, towers: Towers) -> Towers:
        """Return towers that were trained on ``data`` as towers of the whole vectors."""
        if not self.axes:
            return towers
        widths = {feature_id: len(axes) for feature_id, axes in self.axes.items()}
        found = Towers(towers.layout.resized(widths), towers.dim, shrinkage=towers.shrinkage)
        blocks = {block.feature_id: block for block in towers.layout.item}
        with torch.no_grad():
            for name, tower in found.towers.items():
                source = towers.towers[name]
                tower.bias.copy_(source.bias)
                if name == "user":
                    tower.weight.copy_(source.weight)
                    continue
                for block in found.layout.item:
                    part = source.weight[_places(blocks[block.feature_id])]
                    axes = self.axes.get(block.feature_id)
                    if axes is not None:
                        part = torch.from_numpy(axes.astype(np.float32)) @ part
                    tower.weight[_places(block)] = part
        found.eval()
        return found


def reduce(data: Data) -> Reduced:
    """Return the data with each vector of more than ``AXES`` numbers at its leading axes."""
    wide = [block for block in data.layout.item if block.kind == "dense" and block.width > AXES]
    if not wide:
        return Reduced(data, {})
    axes = {block.feature_id: _leading(data.items, block) for block in wide}
    layout = data.layout.resized(dict.fromkeys(axes, AXES))
    return Reduced(replace(data, layout=layout, items=_projected(data, layout, axes)), axes)


def _leading(items: Items, block: Block) -> NDArray[np.float64]:
    """Return the leading eigenvectors of the sum of squares of a block, ``[width, AXES]``."""
    square = np.zeros((block.width, block.width))
    for start in range(0, len(items), ROWS):
        part = _vectors(items, block, slice(start, start + ROWS))
        square += part.T @ part
    bounds = [block.width - AXES, block.width - 1]
    return np.asarray(linalg.eigh(square, subset_by_index=bounds)[1][:, ::-1])


def _vectors(items: Items, block: Block, rows: slice) -> NDArray[np.float64]:
    """Return the numbers of a block of some videos, ``[rows, width]``."""
    numbers = np.arange(len(items))[rows]
    slots = items.slots.take(numbers)
    place = slots.positions - block.offset
    inside = (place >= 0) & (place < block.width)
    found = np.zeros((len(numbers), block.width))
    found[slots.rows[inside], place[inside]] = slots.values[inside]
    return found


def _projected(data: Data, layout: Layout, axes: dict[int, NDArray[np.float64]]) -> Items:
    """Return the catalogue in a layout in which some blocks have the axes' places."""
    items, blocks = data.items, {block.feature_id: block for block in layout.item}
    places = np.full(data.layout.feature_dim("item"), -1)
    for block in data.layout.item:
        if block.feature_id not in axes:
            places[_places(block)] = np.arange(block.width) + blocks[block.feature_id].offset
    kept = places[items.slots.positions] >= 0
    cells = [(items.slots.values, items.slots.rows, places[items.slots.positions])]
    cells = [(values[kept], rows[kept], columns[kept]) for values, rows, columns in cells]
    for block in data.layout.item:
        if block.feature_id in axes:
            first = blocks[block.feature_id].offset
            for start in range(0, len(items), ROWS):
                vectors = _vectors(items, block, slice(start, start + ROWS))
                values = (vectors @ axes[block.feature_id]).astype(np.float32)
                rows, columns = np.nonzero(values)
                cells.append((values[rows, columns], rows + start, columns + first))
    values, rows, columns = (np.concatenate(part) for part in zip(*cells, strict=True))
    shape = (len(items), layout.feature_dim("item"))
    matrix = sparse.csr_array((values, (rows, columns)), shape=shape)
    positions, offsets = (part.astype(np.int64) for part in (matrix.indices, matrix.indptr))
    slots = Slots(positions, matrix.data, offsets)
    is_identity = np.zeros(layout.feature_dim("item"), dtype=np.bool_)
    for block in layout.item:
        is_identity[_places(block)] = block.kind == "identity"
    return Items(slots, items.identity, is_identity)


def _places(block: Block) -> slice:
    return slice(block.offset, block.offset + block.width)
