"""Choosing what content is worth: known videos are placed by content as if they were new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from two_tower.model.linear_map import LinearMap
from two_tower.training.cold_start import Content, Placing, place, unit

Floats = NDArray[np.float64]
Validate = Callable[[Floats, NDArray[np.bool_]], float]

# The penalties of the ridge and the boosts that are tried, and those used where none can be.
PENALTIES = (3.0, 10.0, 30.0, 100.0)
BOOSTS = (0.7, 1.0, 1.2, 1.4, 1.6, 1.8)
PENALTY, BOOST = 30.0, 1.0


@dataclass(frozen=True)
class ColdStartTrial:
    """What the trial knows.

    Attributes:
        known_map: the map with all known videos on the sphere.
        content: the catalogue's content.
        known: videos that have a vector of their own, bool ``[items]``.
        weights: how much each video counts for what content means, ``[items]``; a power of its
            likes.
        validate: a metric of the users' lists under these vectors, ``[items, dim]``, of these
            videos, bool ``[items]``; higher is better.
        seed: of the parts.
    """

    known_map: LinearMap
    content: Content
    known: NDArray[np.bool_]
    weights: Floats
    validate: Validate
    seed: int

    def choose(self, budget: float) -> tuple[float, float]:
        """Return the penalty, then the boost.

        The penalty is the one under which videos placed by content are ranked best among
        themselves. The boost is the highest at which lists lose no more than ``budget`` of their
        quality to a tenth of the catalogue, were it new. Most likes go to videos that everybody
        knows: at the boost that is best for all likes, a new video would hardly be shown, and so
        never become known.

        The videos that nobody has reviewed today may have nothing in common with such a tenth:
        often they are what nobody wants. Where their content says so, lists may lose no more than
        ``budget`` to them either. Where it does not, that would count what they take from others
        and not what they are liked themselves, of which no review can tell yet.
        """
        numbers = np.flatnonzero(self.known)
        rng = np.random.default_rng(self.seed)
        # Four tenths of the catalogue are placed by the content of the rest, as if they were new.
        tenth = rng.integers(10, size=len(numbers))
        parts = [numbers[tenth == part] for part in range(4)]
        parts = [part for part in parts if 0 < len(part) < len(numbers)]
        if not parts:
            return PENALTY, BOOST
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

        Popularity is regressed on content without the part that it is then predicted for. Content
        tells little of it: predictions differ by a small share of what popularity differs by. By
        two standard errors a difference is more than chance.
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
        self,
        placing: Placing,
        boost: float,
        rows: NDArray[np.int64],
        ranked: NDArray[np.bool_],
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
