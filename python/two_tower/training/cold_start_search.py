"""Choosing penalty and boost of new videos: known ones are placed by content as if new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from two_tower.model.linear_map import LinearMap
from two_tower.training.cold_start import Content, Placing, place, unit

Floats = NDArray[np.float64]
Validate = Callable[[Floats, NDArray[np.bool_]], float]

# What is tried (docs/quality.md, new videos).
PENALTIES = (3.0, 10.0, 30.0, 100.0)
BOOSTS = (0.7, 1.0, 1.2, 1.4, 1.6, 1.8)


@dataclass(frozen=True)
class ColdStartTrial:
    """What the trial knows."""

    known_map: LinearMap  # all known videos on the sphere
    content: Content  # of the catalogue
    known: NDArray[np.bool_]  # videos that have a vector of their own, [items]
    weights: Floats  # how much each counts for what content means, a power of its likes, [items]
    validate: Validate  # metric of the lists of these videos, bool [items], under [items, dim]
    seed: int  # of the parts

    def choose(self, budget: float) -> tuple[float, float] | None:
        """Return the penalty, then the boost; None of too few known videos.

        The penalty is the one under which videos placed by content are ranked best among
        themselves. The boost is the highest at which lists lose no more than ``budget`` of their
        quality to a tenth of the catalogue, were it new: at the boost that is best for all likes a
        new video would hardly be shown, and so never become known.

        The videos that nobody has reviewed today are often what nobody wants. Where their content
        says so, lists may lose no more than ``budget`` to them either. Where it does not, that
        would count what they take from others, and not what they will be liked.
        """
        numbers = np.flatnonzero(self.known)
        rng = np.random.default_rng(self.seed)
        # Four tenths of the catalogue are placed by the content of the rest, as if they were new.
        tenth = rng.integers(10, size=len(numbers))
        parts = [numbers[tenth == part] for part in range(4)]
        parts = [part for part in parts if 0 < len(part) < len(numbers)]
        if not parts:
            return None
        placings = [self._place(np.setdiff1d(numbers, part)) for part in parts]
        placed = {penalty: [each(penalty) for each in placings] for penalty in PENALTIES}
        among = np.zeros_like(self.known)
        among[np.concatenate(parts)] = True
        found = {}
        for penalty, each_part in placed.items():
            vectors = np.zeros_like(self.known_map.item)
            for placing, part in zip(each_part, parts, strict=True):
                vectors[part] = self._at(placing, 1.0, part)
            found[penalty] = self.validate(vectors, among)
        penalty = max(found, key=lambda each: found[each])
        if_new = {
            boost: sum(
                self._with(placing, boost, part, self.known)
                for placing, part in zip(placed[penalty], parts, strict=True)
            )
            for boost in BOOSTS
        }
        boost = _highest(if_new, (1 - budget) * max(if_new.values()))
        unknown = np.flatnonzero(~self.known)
        if len(unknown) and self._are_less_popular(unknown, parts, penalty):
            placing = self._place(numbers)(penalty)
            everything = np.ones_like(self.known)
            today = {each: self._with(placing, each, unknown, everything) for each in BOOSTS}
            without = self.validate(self.known_map.item, self.known)
            boost = min(boost, _highest(today, (1 - budget) * without))
        return penalty, boost

    def _are_less_popular(
        self, unknown: NDArray[np.int64], parts: list[NDArray[np.int64]], penalty: float
    ) -> bool:
        """Return whether content tells that videos are less popular than the known.

        Popularity is regressed on content without the part that it is predicted for. Two standard
        errors are more than chance: predictions differ by a small share of what popularity does.
        """
        numbers = np.flatnonzero(self.known)
        popularity = np.log(self.weights)[:, None]
        theirs, others = [], []
        for part in parts:
            rest = np.setdiff1d(numbers, part)
            placing = place(self.content, popularity, rest, np.ones(len(rest)))(penalty)
            predicted = placing.of(self.content)[:, 0]
            theirs.append(predicted[unknown].mean())
            others.append(predicted[part])
        tenths = np.concatenate(others)
        error = tenths.std() * np.sqrt(1 / len(tenths) + 1 / len(unknown))
        return bool(np.mean(theirs) < tenths.mean() - 2.0 * error)

    def _place(self, rest: NDArray[np.int64]) -> Callable[[float], Placing]:
        return place(self.content, self.known_map.item, rest, self.weights[rest])

    def _at(self, placing: Placing, boost: float, rows: NDArray[np.int64]) -> Floats:
        return unit(placing.boosted(boost, self.content, rows).of(self.content, rows))

    def _with(
        self, placing: Placing, boost: float, rows: NDArray[np.int64], ranked: NDArray[np.bool_]
    ) -> float:
        """Return the metric with these videos where their content places them."""
        vectors = self.known_map.item.copy()
        vectors[rows] = self._at(placing, boost, rows)
        return self.validate(vectors, ranked)


def _highest(found: dict[float, float], least: float) -> float:
    """Return the highest boost that finds so much, read off the line between two that were tried.

    Where none does it is the lowest.
    """
    boosts, values = np.array(list(found)), np.array(list(found.values()))
    enough = np.flatnonzero(values >= least)
    if not len(enough):
        return float(boosts[0])
    last = enough[-1]
    # Falling values, for from the last that is enough on they are less.
    return float(np.interp(-least, -values[last : last + 2], boosts[last : last + 2]))
