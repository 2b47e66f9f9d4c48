"""Two towers trained by a softmax, with all features: the expert that has epochs.

They are tried on a schedule, and on a longer one at a lower temperature (ADR 18), on which they are
also distilled from EASE where its low rank loses much (ADR 19). Each ends with a learning rate of
zero: an epoch in the middle says little about how good the towers are at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.core.progress import Bar
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap, of_towers
from two_tower.model.towers import Towers
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import METRIC, validate_towers
from two_tower.training.epochs import Fit, first_schedule
from two_tower.training.experts.distillation import Distillation
from two_tower.training.tasks import Checkpoint

name = "towers"
# The first is also the one where there is nobody to try them on.
weights: tuple[float, ...] = (0.8, 0.0, 0.4, 0.6, 1.0)
least_gain = 0.0

# Reviews that the longer schedule may read: of a million a pass takes long, and the sum gains
# little by the last (ADR 18).
MOST_READ = 16_000_000
# Users who are ranked after an epoch in the middle of a schedule, for the curve alone.
GLANCED = 150


class Schedule(NamedTuple):
    """How the towers are trained."""

    epochs: int  # passes over the users
    temperature: float  # cosines are divided by it
    distilled: bool = False  # whether they also follow EASE at full rank


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


def schedules(config: TrainConfig, data: Data) -> list[Schedule]:
    """Return the schedules that are tried: one, or two.

    The other is six times as long, at half the temperature: with more to learn, lower temperatures
    no longer overfit. It may have twice the passes of the first, and is not tried where the first
    has all of its passes, or half as many steps again as it needs (ADR 18).
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
    ranked: NDArray[np.int64],
    checkpoint: Checkpoint,
    shown: Bar,
) -> Trained:
    """Train to the end of a schedule, from the checkpoint if there is one of the same fit.

    Args:
        config: the settings.
        data: the training data, or a view of them.
        schedule: how long, and how sharp.
        distilled: what the towers follow beside the reviews.
        ranked: the validation users, rows, rising. Where a fold is withheld some are ranked after
            each epoch but the last.
        checkpoint: of this fit.
        shown: advanced by the users passed over.
    """
    schedule = schedule._replace(distilled=distilled is not None)
    config = config.changed(temperature=schedule.temperature)
    fitted = Fit(config, data, schedule.epochs, distilled)
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
    return trained


def _note(shown: Bar, fitted: Fit, row: dict[str, float]) -> None:
    metric = f" · {METRIC} {row[METRIC]:.4f}" if METRIC in row else ""
    shown.note(
        f"epoch {fitted.done} of {fitted.epochs} · loss {row['loss']:.4f}{metric}"
        f" · {row['rows_per_second']:,.0f} rows/s"
    )
