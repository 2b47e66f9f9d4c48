"""Two towers trained by a softmax, with all features: the expert that has epochs.

They are tried on a schedule, and on a longer one at a lower temperature (ADR 18), on which they are
also distilled from the closed form where its low rank loses much (ADR 19); each ends with a
learning rate of zero: an epoch in the middle says little about how good the towers are at its end.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.core.progress import Bar
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap, of_towers
from two_tower.model.towers import Towers
from two_tower.training import checkpoint
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import METRIC, validate_towers
from two_tower.training.epochs import Fit, first_schedule
from two_tower.training.experts.distillation import Distillation

name = "towers"
# Where there is nobody to try on the first counts too.
weights: tuple[float, ...] = (0.8, 0.0, 0.4, 0.6, 1.0)
least_gain = 0.0

# Reviews that the longer schedule may read: of a million a pass takes long, and the sum gains
# little by the last (ADR 18).
MOST_READ = 16_000_000
# Users who are ranked after an epoch in the middle of a schedule, for the curve alone.
GLANCED = 150
# Seconds between checkpoints: an epoch may be shorter than writing one.
SAVE_EVERY = 2.0


class Schedule(NamedTuple):
    """How the towers are trained.

    Attributes:
        epochs: passes over the users.
        temperature: cosines are divided by it.
        distilled: whether they also follow the closed form at full rank.
    """

    epochs: int
    temperature: float
    distilled: bool = False


@dataclass(frozen=True)
class Trained:
    """Towers at the end of a schedule.

    Attributes:
        towers: themselves.
        schedule: how they were trained.
        rows: a row an epoch: loss, learning_rate, seconds, rows_per_second, and some users'
            validation metrics where a fold is withheld.
        reviews: training reviews passed over.
        seconds: that this took.
    """

    towers: Towers
    schedule: Schedule
    rows: list[dict[str, float]]
    reviews: float
    seconds: float

    def as_map(self, data: Data, known: NDArray[np.bool_]) -> LinearMap:
        """Return them as a map to the known videos."""
        with torch.no_grad():
            vectors = self.towers.forward_sparse("item", data.items.slots)
        items = vectors.numpy().astype(np.float64)
        items[~known] = 0
        return of_towers(self.towers, items, data.layout)


def schedules(config: TrainConfig, data: Data) -> list[Schedule]:
    """Return the schedules that are tried: one, or two.

    The other one is six times as long, at half the temperature: where there is more to learn, lower
    temperatures no longer overfit. It may have twice the passes that the first one may, and is not
    tried where that has all of them, or half as many steps again as it needs (ADR 18).
    """
    first, steps = first_schedule(config, len(data.fitted))
    tried = [Schedule(first, config.temperature)]
    # Of many users a single epoch may have more steps than the first schedule needs.
    is_long = first * steps >= 1.5 * config.steps
    longer = min(6 * first, 2 * config.epochs, MOST_READ // max(data.reviews, 1))
    if first < config.epochs and not is_long and longer > first:
        tried.append(Schedule(longer, 0.5 * config.temperature))
    return tried


def fit(
    config: TrainConfig,
    data: Data,
    schedule: Schedule,
    distilled: Distillation | None,
    glanced: NDArray[np.int64],
    saved: Saved,
    shown: Bar,
) -> Trained:
    """Train to the end of a schedule, from the checkpoint if there is one of the same fit.

    Args:
        config: the settings.
        data: the training data, or a view of them.
        schedule: how long, and how sharp.
        distilled: what the towers follow beside the reviews.
        glanced: users who are ranked after each epoch but the last, rows, rising; may be empty.
        saved: the checkpoint.
        shown: advanced by the users passed over.
    """
    schedule = schedule._replace(distilled=distilled is not None)
    config = config.changed(temperature=schedule.temperature)
    fitted = Fit(config, data, schedule.epochs, distilled)
    trained = Trained(fitted.towers, schedule, [], 0.0, 0.0)
    if before := saved.load():
        fitted.restore(before["fit"])
        trained = replace(trained, **before["trained"])
        shown.advance(fitted.done * len(fitted.rows))
    while fitted.done < fitted.epochs:
        row = fitted.epoch(shown.advance)
        reviews = trained.reviews + row.pop("reviews")
        seconds = trained.seconds + row["seconds"]
        row["rows_per_second"] = reviews / max(seconds, 1e-9)
        if len(glanced) and fitted.done < fitted.epochs:
            row |= validate_towers(fitted.towers, fitted.data, glanced)
        trained = replace(trained, rows=[*trained.rows, row], reviews=reviews, seconds=seconds)
        _note(shown, fitted, row)
        progress = {"rows": trained.rows, "reviews": reviews, "seconds": seconds}
        saved.save({"fit": fitted.state(), "trained": progress})
    return trained


class Saved:
    """The checkpoint of one fit among those of a run.

    Args:
        run: the run's folder.
        key: of the fit; a checkpoint of another one is none.
    """

    def __init__(self, run: Path, key: str) -> None:
        self.run = run
        self.key = key
        self.at = -math.inf

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last."""
        found = checkpoint.load_checkpoint(self.run)
        return found if found and found.get("key") == self.key else None

    def save(self, state: dict[str, Any]) -> None:
        """Save a state, unless that was done a moment ago."""
        if time.monotonic() >= self.at + SAVE_EVERY:
            checkpoint.save_checkpoint(self.run, {"key": self.key, **state})
            self.at = time.monotonic()


def _note(shown: Bar, fitted: Fit, row: dict[str, float]) -> None:
    metric = f" · {METRIC} {row[METRIC]:.4f}" if METRIC in row else ""
    shown.note(
        f"epoch {fitted.done} of {fitted.epochs} · loss {row['loss']:.4f}{metric}"
        f" · {row['rows_per_second']:,.0f} rows/s"
    )
