"""The experts: linear maps from what is known of a user to scores of all videos.

An expert is a module. A new idea is one file with these names, and a place in
:data:`two_tower.training.recipe.EXPERTS`.
"""

from __future__ import annotations

from typing import Protocol

from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap
from two_tower.training.data.dataset import Data


class Weighted(Protocol):
    """What the sum has to know of an expert."""

    name: str
    weights: tuple[float, ...]  # beside the experts before it, tried on fold 0; the default first
    least_gain: float  # what another weight has to gain, where that is more than chance


class Expert(Weighted, Protocol):
    """A linear map without epochs."""

    def applies(self, config: TrainConfig, data: Data) -> bool:
        """Return whether these data have what it reads."""
        ...

    def fit(self, config: TrainConfig, data: Data) -> LinearMap | None:
        """Return it, fitted on a view of the data; None where they say nothing after all."""
        ...
