"""From scores to metrics: the best videos of each held-out user, counted by slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower import metrics
from two_tower.metrics import Bools, Floats, Ints
from two_tower.ragged import Ragged

# The longest list that a metric looks at.
DEPTH = 100
# The list that coverage and popularity lift look at.
SHOWN = 20

OVERALL = "overall"
USER_SLICES = ("new_users", "light_users", "heavy_users")
ITEM_SLICES = ("head_items", "tail_items", "cold_items")
SLICES = (OVERALL, *USER_SLICES, *ITEM_SLICES)

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Catalogue:
    """What is ranked, by item number.

    Attributes:
        item_slices: one of ITEM_SLICES for each video, ``[items]``.
        popularity: training reviews of each video, float64 ``[items]``.
    """

    item_slices: NDArray[np.str_]
    popularity: Floats


@dataclass(frozen=True)
class HeldOut:
    """Some users with held-out likes.

    Attributes:
        user_slices: one of USER_SLICES for each user, ``[users]``.
        seen: item numbers reviewed in training, which are not ranked.
        targets: item numbers of the held-out likes, at least one a user.
    """

    user_slices: NDArray[np.str_]
    seen: Ragged
    targets: Ragged


class Tally:
    """The results of one model, a batch of users at a time."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        count = len(catalogue.popularity)
        self.shown: dict[str, Bools] = {
            name: np.zeros(count, dtype=np.bool_) for name in (OVERALL, *USER_SLICES)
        }
        self.user_slices: list[NDArray[np.str_]] = []
        self.parts: dict[tuple[str, str], list[Floats]] = {}

    def add(self, users: HeldOut, scores: torch.Tensor) -> None:
        """Rank all videos but the seen ones and count the hits.

        Args:
            users: the users of these rows.
            scores: float32 ``[users, items]``, higher is better; changed in place.
        """
        scores[torch.from_numpy(users.seen.rows), torch.from_numpy(users.seen.values)] = -torch.inf
        best = scores.topk(min(DEPTH, scores.shape[1]), dim=1)
        top, is_ranked = best.indices.numpy(), torch.isfinite(best.values).numpy()
        self.user_slices.append(users.user_slices)
        self._add_shown(users, top[:, :SHOWN], is_ranked[:, :SHOWN])
        slices = self.catalogue.item_slices
        width = scores.shape[1]
        keys = users.targets.rows * width + users.targets.values
        hits = np.isin(np.arange(len(top))[:, None] * width + top, keys) & is_ranked
        for scope in (OVERALL, *ITEM_SLICES):
            wanted = np.ones(len(keys), dtype=np.bool_)
            found = hits
            if scope != OVERALL:
                wanted = slices[users.targets.values] == scope
                found = hits & (slices[top] == scope)
            rows, numbers = users.targets.rows[wanted], users.targets.values[wanted]
            self._add_scope(scope, found, scores, rows, numbers)

    def _add_scope(
        self, scope: str, hits: Bools, scores: torch.Tensor, rows: Ints, numbers: Ints
    ) -> None:
        """Count the targets ``(rows, numbers)``; users without one get NaN."""
        targets = np.bincount(rows, minlength=len(hits))
        has = targets > 0
        found, count = hits[has], targets[has]
        for metric, values in {
            "recall@20": metrics.recall(found, count, 20),
            "recall@50": metrics.recall(found, count, 50),
            "ndcg@10": metrics.ndcg(found, count, 10),
            "ndcg@100": metrics.ndcg(found, count, 100),
            "mrr": metrics.reciprocal_rank(_best_places(hits, scores, rows, numbers)[has]),
        }.items():
            column = np.full(len(hits), np.nan)
            column[has] = values
            self.parts.setdefault((scope, metric), []).append(column)

    def _add_shown(self, users: HeldOut, top: Ints, is_ranked: Bools) -> None:
        for name, shown in self.shown.items():
            rows = (
                is_ranked if name == OVERALL else is_ranked & (users.user_slices == name)[:, None]
            )
            shown[top[rows]] = True
        popularity = self.catalogue.popularity
        with np.errstate(invalid="ignore"):
            recommended = (popularity[top] * is_ranked).sum(1) / is_ranked.sum(1)
            sums = np.bincount(
                users.seen.rows, weights=popularity[users.seen.values], minlength=len(top)
            )
            consumed = sums / users.seen.lengths
        self.parts.setdefault((OVERALL, "recommended"), []).append(recommended)
        self.parts.setdefault((OVERALL, "consumed"), []).append(consumed)

    def results(self) -> tuple[dict[str, Metrics], dict[str, int]]:
        """Return the metrics of each slice that has users, and its number of users."""
        columns = {name: np.concatenate(part) for name, part in self.parts.items()}
        user_slices = np.concatenate(self.user_slices)
        values: dict[str, Metrics] = {}
        users: dict[str, int] = {}
        for name in SLICES:
            scope = name if name in ITEM_SLICES else OVERALL
            rows = ~np.isnan(columns[scope, "mrr"])
            if name in USER_SLICES:
                rows &= user_slices == name
            if not rows.any():
                continue
            users[name] = int(rows.sum())
            values[name] = {
                metric: float(column[rows].mean())
                for (where, metric), column in columns.items()
                if where == scope and metric not in ("recommended", "consumed")
            }
            if name in ITEM_SLICES:
                inside = self.catalogue.item_slices == name
                values[name]["coverage"] = metrics.coverage(self.shown[OVERALL][inside])
            else:
                values[name]["coverage"] = metrics.coverage(self.shown[name])
                values[name]["popularity_lift"] = metrics.popularity_lift(
                    columns[OVERALL, "recommended"][rows], columns[OVERALL, "consumed"][rows]
                )
        return values, users


def _best_places(hits: Bools, scores: torch.Tensor, rows: Ints, numbers: Ints) -> Ints:
    """Return the place of each user's best target among all ranked videos, from 1."""
    places: Ints = hits.argmax(axis=1) + 1
    deep = np.setdiff1d(rows, np.flatnonzero(hits.any(axis=1)))
    if len(deep):
        best = np.full(len(hits), -np.inf, dtype=np.float32)
        np.maximum.at(best, rows, scores.numpy()[rows, numbers])
        above = scores[torch.from_numpy(deep)] > torch.from_numpy(best[deep])[:, None]
        places[deep] = above.sum(dim=1).numpy() + 1
    return places
