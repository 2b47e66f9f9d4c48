"""Choosing what content is worth: known videos are placed by content as if they were new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from two_tower.content import Content, Placing, place, unit
from two_tower.factors import Factors

Floats = NDArray[np.float64]
Validate = Callable[[Factors, NDArray[np.bool_]], float]

# The penalties of the ridge and the levels that are tried, and those used where none can be.
PENALTIES = (3.0, 10.0, 30.0, 100.0)
LEVELS = (0.7, 1.0, 1.2, 1.4, 1.6, 1.8)
PENALTY, LEVEL = 30.0, 1.0
# A tenth of the catalogue is placed by the content of the rest, as if it were new: so many tenths.
PART = 0.1
TRIED_PARTS = 4


@dataclass(frozen=True)
class ContentTrial:
    """What the trial knows.

    Attributes:
        factors: the map with all known videos on the sphere.
        content: the catalogue's content.
        known: videos that have a vector of their own, bool ``[items]``.
        weights: how much each video counts for what content means, ``[items]``.
        validate: a metric of a map, of lists of these videos, bool ``[items]``; higher is better.
        seed: of the parts.
    """

    factors: Factors
    content: Content
    known: NDArray[np.bool_]
    weights: Floats
    validate: Validate
    seed: int

    def choose(self, freshness: float) -> tuple[float, float]:
        """Return the penalty, then the level.

        The penalty is the one under which videos placed by content are ranked best among
        themselves. The level is the highest at which lists lose no more than ``freshness`` of their
        quality, neither to a tenth of the catalogue, were it new, nor to the videos that nobody has
        reviewed today. Most likes go to videos that everybody knows: at the level that is best for
        all likes, a new video would hardly be shown, and so never become known.
        """
        numbers = np.flatnonzero(self.known)
        rng = np.random.default_rng(self.seed)
        tenth = rng.integers(round(1 / PART), size=len(numbers))
        parts = [numbers[tenth == part] for part in range(TRIED_PARTS)]
        parts = [part for part in parts if 0 < len(part) < len(numbers)]
        if not parts:
            return PENALTY, LEVEL
        placed = {
            penalty: [self._placed(np.setdiff1d(numbers, part), penalty) for part in parts]
            for penalty in PENALTIES
        }
        among = np.zeros_like(self.known)
        among[np.concatenate(parts)] = True
        found = {}
        for penalty, placings in placed.items():
            vectors = np.zeros_like(self.factors.item)
            for placing, part in zip(placings, parts, strict=True):
                vectors[part] = self._at(placing, 1.0, part)
            found[penalty] = self.validate(Factors(self.factors.user, vectors), among)
        penalty = max(found, key=lambda each: found[each])
        if_new = {
            level: sum(
                self._with(placing, level, part, self.known)
                for placing, part in zip(placed[penalty], parts, strict=True)
            )
            for level in LEVELS
        }
        affordable = _within(freshness, if_new)
        unknown = np.flatnonzero(~self.known)
        if len(unknown):
            placing = self._placed(numbers, penalty)
            everything = np.ones_like(self.known)
            today = {level: self._with(placing, level, unknown, everything) for level in LEVELS}
            affordable &= _within(freshness, today)
        return penalty, max(affordable, default=min(LEVELS))

    def _placed(self, rest: NDArray[np.int64], penalty: float) -> Placing:
        return place(self.content, self.factors.item, rest, self.weights[rest], penalty)

    def _at(self, placing: Placing, level: float, rows: NDArray[np.int64]) -> Floats:
        return unit(placing.at(level, self.content, rows).of(self.content)[rows])

    def _with(
        self,
        placing: Placing,
        level: float,
        rows: NDArray[np.int64],
        ranked: NDArray[np.bool_],
    ) -> float:
        """Return the metric with these videos where their content places them."""
        vectors = self.factors.item.copy()
        vectors[rows] = self._at(placing, level, rows)
        return self.validate(Factors(self.factors.user, vectors), ranked)


def _within(share: float, found: dict[float, float]) -> set[float]:
    """Return the levels that lose no more than this share of the best."""
    least = (1 - share) * max(found.values())
    return {level for level, value in found.items() if value >= least}
