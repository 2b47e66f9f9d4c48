"""One fit of the towers: epochs of hidden-review batches under Adam with a falling rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.core.train_config import TrainConfig
from two_tower.model.fast_ops import Bags
from two_tower.model.towers import SparseTower, Towers
from two_tower.training.data.batches import draw, take_items
from two_tower.training.data.dataset import Data
from two_tower.training.experts.distillation import Distillation
from two_tower.training.losses import BinaryCrossEntropy, Loss, Softmax
from two_tower.training.optimizer import Adam

Advance = Callable[[int], None]


class Fit:
    """Towers on their way: weights, Adam, and the epochs done.

    Args:
        config: the settings.
        data: the training data, or a view of them.
        epochs: the learning rate falls over so many; by default the first schedule's.
        distilled: what the towers follow beside the reviews.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        epochs: int | None = None,
        distilled: Distillation | None = None,
    ) -> None:
        self.config = config
        # Hidden reviews lie between those that are left: what comes next is not asked here.
        self.data = data = data.without(("recency",))
        self.rows = data.fitted
        first, self.steps = first_schedule(config, len(self.rows))
        self.epochs = epochs or first
        self.towers = Towers(data.layout, config.dim, config.hidden, config.seed)
        self.adam = Adam(self.towers.parameters())
        self.loss = make_loss(config, data, distilled)
        self.bags: tuple[NDArray[np.int64], Bags] | None = None
        self.done = 0

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Pass over the users once.

        Returns:
            ``loss`` (mean of a target), ``learning_rate`` (the last), ``seconds``, ``reviews``.
        """
        started = time.perf_counter()
        # From the seed and the number of the epoch alone: a resumed run draws the same.
        rng = np.random.default_rng([self.config.seed, self.done, int(self.data.fold is not None)])
        order = rng.permutation(self.rows)
        self.towers.train()
        total = reviews = 0.0
        for step in range(self.steps):
            rate = self._rate(self.done * self.steps + step)
            rows = order[step * self.config.batch_size : (step + 1) * self.config.batch_size]
            loss, read = self._step(np.sort(rows), rate, rng)
            total += loss
            reviews += read
            advance(len(rows))
        self.done += 1
        return {
            "loss": total / max(self.steps, 1),
            "learning_rate": rate,
            "reviews": reviews,
            "seconds": time.perf_counter() - started,
        }

    def _rate(self, step: int) -> float:
        """Return the learning rate of a step: half a cosine over all planned steps."""
        share = step / (self.epochs * self.steps)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def _step(
        self, rows: NDArray[np.int64], rate: float, rng: np.random.Generator
    ) -> tuple[float, int]:
        """Train on one batch; return its loss and the reviews read."""
        config, data, towers = self.config, self.data, self.towers
        part = data.read(rows)
        # The specification's loss knows likes alone.
        weights = part.weights * part.liked if config.loss == "bce" else part.relevances
        batch = draw(data, part, weights, config, rng)

        def encode(numbers: NDArray[np.int64]) -> torch.Tensor:
            vectors: torch.Tensor = towers.towers["item"](self._bags(numbers, rng))
            return vectors

        towers.zero_grad()
        loss = self.loss(towers.forward_sparse("user", batch.slots), encode, batch, rng)
        loss.backward()
        self.adam.step(rate, config.gradient_clip)
        return loss.item(), len(part.items)

    def _bags(self, numbers: NDArray[np.int64], rng: np.random.Generator) -> Bags:
        """Return some videos as the tower weighs them; once, where they are always the same."""
        if self.bags is not None and self.bags[0] is numbers:
            return self.bags[1]
        # Joined towers leave new videos to the ridge on content.
        drop = self.config.identity_dropout if self.config.start == "random" else 0.0
        tower = self.towers.towers["item"]
        assert isinstance(tower, SparseTower)
        bags = tower.bags(take_items(self.data.items, numbers, drop, rng))
        if not drop:
            self.bags = numbers, bags
        return bags

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs: tensors and primitives."""
        towers = self.towers.state_dict()
        return {"done": self.done, "towers": towers, "adam": self.adam.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.done = state["done"]
        self.towers.load_state_dict(state["towers"])
        self.adam.restore(state["adam"])


def first_schedule(config: TrainConfig, users: int) -> tuple[int, int]:
    """Return the epochs of the first schedule for so many users, and the steps of each."""
    steps = math.ceil(users / config.batch_size)
    return min(config.epochs, math.ceil(config.steps / max(steps, 1))), steps


def make_loss(config: TrainConfig, data: Data, distilled: Distillation | None = None) -> Loss:
    """Return the loss of the settings."""
    if config.loss == "bce":
        return BinaryCrossEntropy(data.seen, config.negatives, config.scale)
    fits = int(data.seen.sum()) <= config.max_full_softmax_items
    sample = None if fits else config.sampled_items
    return Softmax(data.review_counts, config.temperature, sample, distilled)
