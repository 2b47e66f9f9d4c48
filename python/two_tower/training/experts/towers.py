"""Two towers trained by a softmax, with all features: the expert that has epochs.

They are tried on a schedule, and on a longer one at a lower temperature (ADR 18), on which they are
also distilled from EASE where its low rank loses much (ADR 19). Each ends with a learning rate of
zero: an epoch in the middle says little about how good the towers are at its end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.core.errors import InputError
from two_tower.core.progress import Bar
from two_tower.core.train_config import TrainConfig
from two_tower.model.fast_ops import Bags
from two_tower.model.linear_map import LinearMap, of_towers
from two_tower.model.towers import SparseTower, Towers
from two_tower.training.data.batches import draw, take_items
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import METRIC, validate_towers
from two_tower.training.experts.distillation import Distillation
from two_tower.training.group import ALONE, Group
from two_tower.training.losses import BinaryCrossEntropy, Softmax
from two_tower.training.optimizer import Adam
from two_tower.training.tasks import Checkpoint

name = "towers"
# The first is also the one where there is nobody to try them on.
weights: tuple[float, ...] = (0.8, 0.0, 0.4, 0.6, 1.0)
least_gain = 0.0

# Reviews that the longer schedule may read: of a million a pass takes long, and the sum gains
# little by the last (ADR 18). Of however many it passes over all a few times (ADR 25).
MOST_READ = 32_000_000
FEWEST_PASSES = 4
# Steps of an epoch at most, as far as larger batches allow: then some have eight times the users.
MOST_STEPS = 100
LARGEST_BATCH = 8
# Where a schedule has the fewest passes, towers of the search are trained on for a pass over all
# reviews, from this share of the learning rate: as many passes again would find the same.
ON_FROM = 0.3
# Videos below which a step is done so soon that a second thread costs more than it does.
ONE_THREAD_BELOW = 20_000
# Users who are ranked after an epoch in the middle of a schedule, for the curve alone.
GLANCED = 150


class Schedule(NamedTuple):
    """How the towers are trained."""

    epochs: int  # passes over the users
    temperature: float  # cosines are divided by it
    distilled: bool = False  # whether they also follow EASE at full rank
    rate: float = 1.0  # share of the learning rate that it begins with


@dataclass(frozen=True)
class Trained:
    """Towers at the end of a schedule."""

    towers: Towers
    schedule: Schedule
    rows: list[dict[str, float]]  # an epoch each: loss, rate, speed, metrics where a fold is held
    reviews: float  # training reviews passed over
    seconds: float  # that this took

    def as_map(self, data: Data, known: NDArray[np.bool_]) -> LinearMap:
        """Return them as a map to the known videos."""
        with torch.no_grad():
            vectors = self.towers.forward_sparse("item", data.items.slots)
        items = vectors.numpy().astype(np.float64)
        items[~known] = 0
        return of_towers(self.towers, items, data.layout)


def batch_size(config: TrainConfig, users: int) -> int:
    """Return the users a step: of many people more, and an epoch is still some 100 steps."""
    most = MOST_STEPS * config.batch_size
    doublings = math.ceil(math.log2(max(users / most, 1)))
    return config.batch_size * min(LARGEST_BATCH, int(2**doublings))


def first_schedule(config: TrainConfig, users: int) -> tuple[int, int]:
    """Return the epochs of the first schedule for so many users, and the steps of each."""
    steps = math.ceil(users / batch_size(config, users))
    return min(config.epochs, math.ceil(config.steps / max(steps, 1))), steps


def schedules(config: TrainConfig, data: Data) -> list[Schedule]:
    """Return the schedules that are tried: one, or two.

    The other is six times as long, at half the temperature: with more to learn, lower temperatures
    no longer overfit. It may have twice the passes of the first, and is not tried where the first
    has all of its passes (ADR 18). Of so many reviews that it has the fewest passes it is tried
    alone: the first would have less than these.
    """
    first, _ = first_schedule(config, len(data.fitted))
    short = Schedule(first, config.temperature)
    longer = min(6 * first, 2 * config.epochs, max(FEWEST_PASSES, _readable(data)))
    if first >= config.epochs or longer <= first:
        return [short]
    long = Schedule(longer, 0.5 * config.temperature)
    return [long] if _is_long(data) and first < FEWEST_PASSES else [short, long]


def _readable(data: Data) -> int:
    """Return the passes in which a longer schedule reads as much as it may."""
    return MOST_READ // max(data.reviews, 1)


def _is_long(data: Data) -> bool:
    return _readable(data) <= FEWEST_PASSES


def trained_on(schedule: Schedule, data: Data) -> Schedule | None:
    """Return the schedule on which towers of the search are trained on, None for anew."""
    is_short = schedule.epochs <= FEWEST_PASSES
    return schedule._replace(epochs=1, rate=ON_FROM) if _is_long(data) and is_short else None


class Fit:
    """Towers on their way: weights, Adam, and the epochs done.

    The learning rate falls over ``epochs``, by default those of the first schedule, from its share
    ``rate``. Towers to train on are ``begun``; by default their weights are drawn.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        epochs: int | None = None,
        distilled: Distillation | None = None,
        rate: float = 1.0,
        begun: Towers | None = None,
        group: Group = ALONE,
    ) -> None:
        self.config, self.rate, self.group = config, rate, group
        # Hidden reviews lie between those that are left: what comes next is not asked here. What
        # users are says little beside what they like: it is learned apart (ADR 29).
        self.data = data = data.without(("recency", "profile"))
        self.rows = data.fitted
        first, self.steps = first_schedule(config, len(self.rows))
        self.batch = batch_size(config, len(self.rows))
        self.epochs = epochs or first
        # The first weights are drawn on the CPU: a seed begins alike on every device.
        self.towers = Towers(data.layout, config.dim, config.seed).to(device_of(config))
        if begun is not None:
            self.towers.load_state_dict(begun.state_dict())
        self.adam = Adam(self.towers.parameters())
        self.loss = make_loss(config, data, distilled)
        self.bags: tuple[NDArray[np.int64], Bags] | None = None
        self.done = 0

    def epoch(self, advance: Callable[[int], None]) -> dict[str, float]:
        """Pass over the users once.

        Returns:
            ``loss`` (mean of a target), ``learning_rate`` (the last), ``seconds``, ``reviews``.
        """
        started = time.perf_counter()
        # From the seed and the number of the epoch alone: a resumed run draws the same.
        rng = np.random.default_rng([self.config.seed, self.done, int(self.data.fold is not None)])
        order, rng = rng.permutation(self.rows), self.group.own(rng)
        self.towers.train()
        total = reviews = 0.0
        for step in range(self.steps):
            rate = self._rate(self.done * self.steps + step)
            rows = order[step * self.batch : (step + 1) * self.batch]
            loss, read = self._step(np.sort(rows), rng)
            self.adam.step(rate, self.config.gradient_clip)
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
        return self.rate * self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def _step(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float]:
        """Find the gradients of one batch; return its loss and the reviews read."""
        self.towers.zero_grad()
        mine = self.group.share(rows)
        # Of the last batch of an epoch there may be nobody left for the last of a group.
        found = self._part(mine, rng) if len(mine) else (0.0, 0.0, 0)
        return self.group.averaged(self.adam.parameters, *found)

    def _part(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float, int]:
        """Find the gradients of some users; return their loss, its weight and the reviews read."""
        config, data, towers = self.config, self.data, self.towers
        part = data.read(rows)
        # The specification's loss knows likes alone.
        weights = part.weights * part.liked if config.loss == "bce" else part.relevances
        batch = draw(data, part, weights, config, rng)

        def encode(numbers: NDArray[np.int64]) -> torch.Tensor:
            vectors: torch.Tensor = towers.towers["item"](self._bags(numbers, rng))
            return vectors

        loss = self.loss(towers.forward_sparse("user", batch.slots), encode, batch, rng)
        loss.backward()
        return loss.item(), float(batch.weights.sum()), len(part.items)

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


def device_of(config: TrainConfig) -> torch.device:
    """Return where the towers are trained.

    Raises:
        InputError: on a GPU, of which torch finds none.
    """
    there = torch.cuda.is_available()
    if config.device == "cuda" and not there:
        raise InputError(
            f"training on the device cuda: torch {torch.__version__} finds no GPU here",
            "install a build of torch for your GPU (https://pytorch.org/get-started/locally),"
            " or take --device auto",
        )
    return torch.device("cuda" if there and config.device != "cpu" else "cpu")


def make_loss(
    config: TrainConfig, data: Data, distilled: Distillation | None = None
) -> Softmax | BinaryCrossEntropy:
    """Return the loss of the settings."""
    if config.loss == "bce":
        return BinaryCrossEntropy(data.seen, config.negatives, config.scale)
    fits = int(data.seen.sum()) <= config.max_full_softmax_items
    sample = None if fits else config.sampled_items
    return Softmax(data.review_counts, config.temperature, sample, distilled)


def fit(
    config: TrainConfig,
    data: Data,
    schedule: Schedule,
    distilled: Distillation | None,
    ranked: NDArray[np.int64],
    checkpoint: Checkpoint,
    shown: Bar,
    begun: Towers | None = None,
    group: Group = ALONE,
) -> Trained:
    """Train to the end of a schedule, from the checkpoint if there is one, or on from ``begun``.

    Where a fold is withheld, some of the ``ranked`` users, int64 ``[n]``, rising, are ranked after
    each epoch but the last.
    """
    schedule = schedule._replace(distilled=distilled is not None)
    config = config.changed(temperature=schedule.temperature)
    fitted = Fit(config, data, schedule.epochs, distilled, schedule.rate, begun, group)
    glanced = ranked[:: 1 + len(ranked) // GLANCED]
    trained = Trained(fitted.towers, schedule, [], 0.0, 0.0)
    if before := checkpoint.load():
        fitted.restore(before["fit"])
        trained = replace(trained, **before["trained"])
        shown.advance(fitted.done * len(fitted.rows))
    while fitted.done < fitted.epochs:
        row = fitted.epoch(shown.advance)
        reviews = trained.reviews + row.pop("reviews")
        seconds = trained.seconds + row["seconds"]
        row["rows_per_second"] = reviews / max(seconds, 1e-9)
        if data.fold is not None and fitted.done < fitted.epochs:
            row |= validate_towers(fitted.towers, fitted.data, glanced)
        progress: dict[str, Any] = {
            "rows": [*trained.rows, row],
            "reviews": reviews,
            "seconds": seconds,
        }
        trained = replace(trained, **progress)
        _note(shown, fitted, row)
        checkpoint.save({"fit": fitted.state(), "trained": progress})
    fitted.towers.cpu()  # all that follows is done there
    return trained


def _note(shown: Bar, fitted: Fit, row: dict[str, float]) -> None:
    metric = f" · {METRIC} {row[METRIC]:.4f}" if METRIC in row else ""
    shown.note(
        f"epoch {fitted.done} of {fitted.epochs} · loss {row['loss']:.4f}{metric}"
        f" · {row['rows_per_second']:,.0f} rows/s"
    )
