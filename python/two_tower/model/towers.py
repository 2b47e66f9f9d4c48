"""The two towers: a linear layer over a user's or a video's slots, then L2.

Multi-hot and history blocks are divided by their row's norm inside the model, so that features stay
0/1 outside while a user with a thousand likes and one with three train alike. A history of which
little is known says less, and what is true of everybody more: its norm is that of the row and
``shrinkage`` reviews of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from two_tower.core.errors import InputError
from two_tower.core.train_config import DIM
from two_tower.model.fast_ops import Bags, SlotSum, Unit, length
from two_tower.model.layout import NORMALISED_KINDS, SHRINKAGE, TINY, TOWERS, Layout, Tower
from two_tower.model.slots import Slots

FORMAT = 1


class SparseTower(nn.Module):
    """One tower over slots: an embedding bag and a bias."""

    def __init__(self, layout: Layout, tower: Tower, dim: int, shrinkage: float, seed: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        rows = layout.feature_dim(tower)
        self.weight = nn.Parameter(torch.empty(rows, dim).normal_(std=0.1, generator=rng))
        # Never all zero: a row without any slot still has a direction.
        self.bias = nn.Parameter(torch.empty(dim).normal_(std=0.01, generator=rng))
        self.tower, self.layout, self.shrinkage = tower, layout, shrinkage

    def forward(self, bags: Bags) -> Tensor:
        """Return unit vectors, float32 ``[rows, dim]``."""
        summed = SlotSum.apply(self.weight, bags)
        unit: Tensor = Unit.apply(summed + self.bias)
        return unit

    def bags(self, slots: Slots) -> Bags:
        """Return rows as this tower weighs them."""
        values = self.layout.weighed(self.tower, slots, self.shrinkage)
        return Bags(slots, values, len(self.weight))


class DenseTower(nn.Module):
    """The same tower over flat vectors, a matrix a block: plain operators that ONNX knows."""

    def __init__(self, layout: Layout, tower: Tower, sparse: SparseTower) -> None:
        super().__init__()
        self.blocks = [
            (block, sparse.shrinkage * (block.kind == "history"))
            for block in layout.blocks(tower)
            if block.width
        ]
        self.weights = nn.ParameterList(
            sparse.weight[b.offset : b.offset + b.width].detach().clone() for b, _ in self.blocks
        )
        self.bias = nn.Parameter(sparse.bias.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        """Return unit vectors ``[batch, dim]`` of float32 ``[batch, feature_dim]``."""
        summed = torch.zeros_like(self.bias)
        for (block, added), weight in zip(self.blocks, self.weights, strict=True):
            part = features[:, block.offset : block.offset + block.width]
            product = part @ weight
            if block.kind in NORMALISED_KINDS:
                squares = (part * part).sum(1, keepdim=True) + added
                product = product / squares.sqrt().clamp_min(TINY)
            summed = summed + product
        vectors = summed + self.bias
        return vectors / length(vectors)


class DenseTowers(nn.Module):
    """Both towers over flat vectors: the module that is exported."""

    def __init__(self, user: DenseTower, item: DenseTower) -> None:
        super().__init__()
        self.user = user
        self.item = item

    def forward(self, user_features: Tensor, item_features: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(user_embedding, item_embedding)``; the two batches are independent."""
        return self.user(user_features), self.item(item_features)


class Towers(nn.Module):
    """The model: a user tower and an item tower into one space, compared by cosine.

    Args:
        layout: the frozen layout; kept as ``self.layout``.
        dim: width of the embeddings.
        seed: of the first weights; the global random state is left alone.
        shrinkage: reviews of which nothing is known that each history's norm has beside its own.
    """

    def __init__(
        self,
        layout: Layout,
        dim: int = DIM,
        seed: int = 0,
        shrinkage: float = SHRINKAGE,
    ) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.layout = layout
        self.dim = dim
        self.towers = nn.ModuleDict(
            {
                tower: SparseTower(layout, tower, dim, shrinkage, seed * len(TOWERS) + number)
                for number, tower in enumerate(TOWERS)
            }
        )

    def forward_sparse(self, tower: Tower, slots: Slots) -> Tensor:
        """Return the unit vectors of sparse rows, float32 ``[rows, dim]``."""
        sparse = self.towers[tower]
        vectors: Tensor = sparse(sparse.bags(slots))
        return vectors

    def dense_module(self) -> DenseTowers:
        """Return a copy of the towers over flat vectors, in evaluation mode."""
        pair = []
        for tower in TOWERS:
            sparse = self.towers[tower]
            assert isinstance(sparse, SparseTower)
            pair.append(DenseTower(self.layout, tower, sparse))
        both = DenseTowers(*pair)
        both.eval()
        return both

    def payload(self) -> dict[str, Any]:
        """Return tensors and primitives that :meth:`from_payload` rebuilds the towers from."""
        return {
            "format": FORMAT,
            "dim": self.dim,
            "shrinkage": self.shrinkage,
            "layout": self.layout.to_dict(),
            "state": self.state_dict(),
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Towers:
        """Rebuild towers, in evaluation mode.

        Raises:
            InputError: the payload is of another format, or has a hidden layer, as models of
                version 0.9 and before could.
        """
        if payload.get("hidden"):
            raise InputError("towers with a hidden layer are no longer read", "train a model anew")
        if payload.get("format") != FORMAT:
            raise InputError(
                f"towers of format {payload.get('format')!r}, this program reads {FORMAT}",
                "train a model anew",
            )
        layout = Layout.from_dict(payload["layout"])
        shrinkage = float(payload.get("shrinkage", 0.0))
        towers = cls(layout, int(payload["dim"]), shrinkage=shrinkage)
        towers.load_state_dict(payload["state"])
        towers.eval()
        return towers


def save_towers(path: Path, towers: Towers) -> None:
    """Write ``towers.pt``: it opens with ``torch.load(weights_only=True)``."""
    torch.save(towers.payload(), path)


def load_towers(path: Path) -> Towers:
    """Read ``towers.pt``, in evaluation mode.

    Raises:
        InputError: there is no such file, or it holds more than tensors and primitives.
    """
    try:
        payload = torch.load(path, weights_only=True)
    except Exception as error:
        raise InputError(f"{path} is no towers file: {error}", "train a model anew") from error
    return Towers.from_payload(payload)
