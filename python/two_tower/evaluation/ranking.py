"""From scores to metrics: ranks the videos for each held-out user and averages by slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from two_tower.evaluation import bootstrap as intervals
from two_tower.evaluation import metrics
from two_tower.evaluation.metrics import Bools, Floats, Ints
from two_tower.model.slots import Ragged, one_hot

# The longest list that a metric looks at.
DEPTH = 100
# Length of the list that coverage, diversity and the other metrics beyond accuracy look at.
SHOWN = 20

OVERALL = "overall"
USER_SLICES = ("new_users", "light_users", "heavy_users")
ITEM_SLICES = ("head_items", "tail_items", "cold_items")
SLICES = (OVERALL, *USER_SLICES, *ITEM_SLICES)
# The two means of which the popularity lift is computed.
GAP = ("recommended", "consumed")

Metrics = dict[str, float | None]
Intervals = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Catalogue:
    """The videos that are ranked, by item number.

    Attributes:
        item_slices: one of ITEM_SLICES for each video, ``[items]``.
        popularity: number of training reviews of each video, float64 ``[items]``.
        users: number of training users.
        is_held_out: whether a video has held-out but no training reviews, bool ``[items]``.
        content: content tokens of each video, float64 ``[items, tokens]``; rows have length 1 or
            are empty.
        tastes: tokens of each video that are user features too, float64 ``[items, tokens]``; rows
            sum to 1 or are empty.
    """

    item_slices: NDArray[np.str_]
    popularity: Floats
    users: int
    is_held_out: Bools
    content: sparse.csr_matrix
    tastes: sparse.csr_matrix


@dataclass(frozen=True)
class HeldOut:
    """A batch of users with held-out likes.

    Attributes:
        user_ids: ``[users]``.
        user_slices: one of USER_SLICES for each user, ``[users]``.
        seen: item numbers that are not ranked: reviewed in training, or shown for a cold user.
        targets: item numbers of the held-out likes, at least one per user.
        liked: item numbers of the likes that the user's features are computed from.
    """

    user_ids: NDArray[np.str_]
    user_slices: NDArray[np.str_]
    seen: Ragged
    targets: Ragged
    liked: Ragged


@dataclass(frozen=True)
class Results:
    """The metrics of a model by slice. Slices without users are missing.

    Attributes:
        values: slice -> metric -> value, None if it is not defined.
        intervals: slice -> metric -> 95 % interval. Metrics of all lists together, such as
            coverage, have none: a bootstrap resample repeats some lists and always covers less.
        users: number of users of each slice.
    """

    values: dict[str, Metrics]
    intervals: dict[str, Intervals]
    users: dict[str, int]


class Tally:
    """Accumulates the results of one model over batches of users.

    Args:
        catalogue: the videos that are ranked.
        candidates: which of them may be recommended, bool ``[items]``; by default all.
    """

    def __init__(self, catalogue: Catalogue, candidates: Bools | None = None) -> None:
        self.catalogue = catalogue
        count = len(catalogue.popularity)
        self.candidates = np.ones(count, dtype=np.bool_) if candidates is None else candidates
        self.information = metrics.self_information(catalogue.popularity, catalogue.users)
        self.exposures: dict[str, Ints] = {
            name: np.zeros(count, dtype=np.int64) for name in (OVERALL, *USER_SLICES)
        }
        self.user_ids: list[NDArray[np.str_]] = []
        self.user_slices: list[NDArray[np.str_]] = []
        self.parts: dict[tuple[str, str], list[Floats]] = {}

    def add(self, users: HeldOut, scores: torch.Tensor) -> None:
        """Rank all candidates except seen ones, and add the metrics of each user.

        Args:
            users: the users of the rows of ``scores``.
            scores: float32 ``[users, items]``, higher is better; changed in place.
        """
        scores[torch.from_numpy(users.seen.rows), torch.from_numpy(users.seen.values)] = -torch.inf
        if not self.candidates.all():
            scores[:, torch.from_numpy(~self.candidates)] = -torch.inf
        best = scores.topk(min(DEPTH, scores.shape[1]), dim=1)
        top, is_ranked = best.indices.numpy(), torch.isfinite(best.values).numpy()
        self.user_ids.append(users.user_ids)
        self.user_slices.append(users.user_slices)
        self._add_lists(users, top[:, :SHOWN], is_ranked[:, :SHOWN])
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
        """Add the metrics over the targets ``(rows, numbers)``; NaN for users without one."""
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

    def _add_lists(self, users: HeldOut, top: Ints, is_ranked: Bools) -> None:
        """Add the metrics of the users' lists that do not depend on hits."""
        catalogue = self.catalogue
        items = len(catalogue.popularity)
        for name, exposures in self.exposures.items():
            rows = (
                is_ranked if name == OVERALL else is_ranked & (users.user_slices == name)[:, None]
            )
            exposures += np.bincount(top[rows], minlength=items)
        offsets = np.concatenate([[0], np.cumsum(is_ranked.sum(axis=1))])
        lists = one_hot(Ragged(top[is_ranked], offsets), items)
        for name, column in {
            "novelty": metrics.list_means(lists, self.information),
            "diversity": metrics.diversity(lists, catalogue.content),
            "calibration": metrics.calibration(
                one_hot(users.liked, items) @ catalogue.tastes, lists @ catalogue.tastes
            ),
            "recommended": metrics.list_means(lists, catalogue.popularity),
            "consumed": metrics.list_means(one_hot(users.seen, items), catalogue.popularity),
        }.items():
            self.parts.setdefault((OVERALL, name), []).append(column)

    def columns(self, scope: str = OVERALL) -> dict[str, Floats]:
        """Return metric -> float64 ``[users]``, in the order in which users were added."""
        return {
            metric: np.concatenate(part)
            for (where, metric), part in self.parts.items()
            if where == scope and metric not in GAP
        }

    def results(self) -> Results:
        """Return the metrics of each slice that has users."""
        found = Results({}, {}, {})
        gap = np.stack([np.concatenate(self.parts[OVERALL, name]) for name in GAP], axis=1)
        gap[np.isnan(gap[:, 1])] = np.nan
        for name in SLICES:
            rows = self._rows(name)
            if len(rows):
                self._summarise(found, name, self.slice_columns(name), gap[rows])
        return found

    def slice_columns(self, name: str) -> dict[str, Floats]:
        """Return metric -> float64 ``[users]`` of a slice, in the order of their ids."""
        columns = self.columns(name if name in ITEM_SLICES else OVERALL)
        rows = self._rows(name)
        return {metric: column[rows] for metric, column in columns.items()}

    def _rows(self, name: str) -> Ints:
        """Return the rows of the users with a target in a slice, in the order of their ids."""
        # The database returns users in any order; sorted, the bootstrap resamples the same ones.
        order = np.argsort(np.concatenate(self.user_ids), kind="stable")
        has_target = ~np.isnan(self.columns(name if name in ITEM_SLICES else OVERALL)["mrr"])
        rows: Ints = order[has_target[order]]
        if name in USER_SLICES:
            rows = rows[np.concatenate(self.user_slices)[rows] == name]
        return rows

    def _summarise(
        self, found: Results, name: str, columns: dict[str, Floats], gap: Floats
    ) -> None:
        """Add the metrics of one slice to ``found``; ``columns`` are those of its users."""
        table = np.stack(list(columns.values()), axis=1)
        found.users[name] = len(table)
        found.values[name] = dict(zip(columns, _means(table), strict=True))
        bounds = intervals.bounds(intervals.resampled_means(table))
        found.intervals[name] = _defined(columns, *bounds)
        inside = self.candidates
        if name in ITEM_SLICES:
            inside = inside & (self.catalogue.item_slices == name)
        exposures = self.exposures[OVERALL if name in ITEM_SLICES else name][inside]
        found.values[name]["coverage"] = metrics.coverage(exposures > 0)
        if name not in ITEM_SLICES:
            found.values[name]["gini"] = metrics.gini(exposures)
            found.values[name]["popularity_lift"] = metrics.popularity_lift(*gap.T)
            found.intervals[name].update(_lift_interval(gap))


def _means(table: Floats) -> list[float | None]:
    """Return the mean of each column over the users for whom it is defined; None without any."""
    known = ~np.isnan(table)
    sums, counts = np.where(known, table, 0).sum(axis=0), known.sum(axis=0)
    return [float(x / n) if n else None for x, n in zip(sums, counts, strict=True)]


def _defined(names: dict[str, Floats], lower: Floats, upper: Floats) -> Intervals:
    pairs = zip(names, lower.tolist(), upper.tolist(), strict=True)
    return {name: (low, high) for name, low, high in pairs if np.isfinite(low)}


def _lift_interval(gap: Floats) -> Intervals:
    """Return the interval of the popularity lift; each resample gives both of its means."""
    means = intervals.resampled_means(gap)
    with np.errstate(invalid="ignore", divide="ignore"):
        lifts = (means[:, :1] - means[:, 1:]) / means[:, 1:]
    lifts[~np.isfinite(lifts)] = np.nan
    return _defined({"popularity_lift": gap}, *intervals.bounds(lifts))


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
