"""The models without epochs, solved on a thread of their own while the towers train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from two_tower.core.background import ahead, go_on
from two_tower.core.train_config import TrainConfig
from two_tower.model.layout import Block
from two_tower.model.linear_map import Factors
from two_tower.model.towers import SparseTower, weigher
from two_tower.training.data.dataset import Data
from two_tower.training.experts import ease
from two_tower.training.experts import session_ease as sittings
from two_tower.training.experts.distillation import Teacher, loses, teach
from two_tower.training.experts.ease import (
    Base,
    Floats,
    Head,
    Sums,
    as_factors,
    find_base,
    leading,
    placed,
    solve,
)
from two_tower.training.experts.ridge_search import RIDGE, Tried, choose_ridge
from two_tower.training.experts.transitions import transitions
from two_tower.training.experts.weighted_svd import MAX_CELLS, sharpened, weighted_users

# Of more videos the most liked stand for all where a matrix of them each is too much: when the
# penalty is tried, and for sittings, in which few others are, with a block for each history. Up to
# so many, the nearest map of the embeddings' rank ranks as the whole regression does.
MOST_LIKED = 2_000
# Videos that there may be a teacher of: it is a matrix of them each, of 400 MB, and solving it
# takes ten times that.
MAX_TAUGHT = 10_000
AddUp = Callable[[TrainConfig, Data, SparseTower, bool, Head], Sums]


@dataclass(frozen=True)
class Solved:
    """The models of one phase of training; None where there is nothing to solve.

    Attributes:
        ridge: the penalty of the closed form.
        closed: what goes together at all.
        sittings: what goes together in one sitting.
        transitions: what comes next.
    """

    ridge: float = RIDGE
    closed: Factors | None = None
    sittings: Factors | None = None
    transitions: Factors | None = None


class Solver:
    """Solves the models of a run.

    Args:
        config: the settings.
        data: the training data.
    """

    def __init__(self, config: TrainConfig, data: Data) -> None:
        self.config = config
        self.data = data
        self.tower = weigher(data.layout, "user")
        # The trained towers do not know what comes next.
        self.taught_data = data.without(("recency",))
        self.taught_tower = weigher(self.taught_data.layout, "user")

    @cached_property
    def base(self) -> Base:
        """What the closed form is on: the first history, which says most.

        In the sum another adds nothing to it that the trained towers and the sittings do not.
        """
        return find_base(self.data, self.config.closed_form_items, _histories(self.data)[:1])

    @cached_property
    def short_base(self) -> Base:
        """What the penalty is tried on."""
        if len(self.base.head.items) <= MOST_LIKED:
            return self.base
        return find_base(self.data, MOST_LIKED, _histories(self.data)[:1])

    @cached_property
    def sittings_base(self) -> Base:
        """What the sittings are on: all histories."""
        most = min(self.config.closed_form_items, MOST_LIKED)
        return find_base(self.data, most, _histories(self.data))

    @cached_property
    def taught_base(self) -> Base:
        """What a teacher is on: all videos."""
        return find_base(self.taught_data, MAX_TAUGHT, _histories(self.taught_data)[:1])

    def try_ridges(self, rows: NDArray[np.int64], metric: str) -> Tried:
        """Choose the penalty of the closed form.

        Args:
            rows: users with a like in the validation fold, int64 ``[n]``, rising.
            metric: of :func:`two_tower.training.data.validation.validate`, by which it is chosen.
        """
        return choose_ridge(self.config, self.data, self.tower, self.short_base, rows, metric)

    @property
    def may_teach(self) -> bool:
        """Whether towers could follow the closed form at full rank: of all videos."""
        most = min(MAX_TAUGHT, self.config.max_full_softmax_items)
        return self.config.loss == "softmax" and len(self.data.items) <= most

    def teacher(self, withhold: bool, ridge: float) -> Teacher:
        """Return the closed form at full rank, for the towers to follow."""
        base, tower = self.taught_base, self.taught_tower
        return teach(self.config, self.taught_data, tower, base, ridge, withhold)

    def teacher_if_needed(self, tried: Tried, rows: NDArray[np.int64]) -> Teacher | None:
        """Return the search's where these users' lists lose much by its low rank; else None."""
        needed = loses(self.data, self.tower, self.short_base, tried, rows)
        return self.teacher(True, tried.ridge) if needed else None

    def search(self, tried: Tried) -> Solved:
        """Solve all of them with the validation fold withheld."""
        is_solved = self.base is self.short_base
        return self._solved(True, tried.ridge, tried.closed if is_solved else None)

    def final(self, ridge: float) -> Solved:
        """Solve all of them on all training reviews."""
        return self._solved(False, ridge)

    def _solved(self, withhold: bool, ridge: float, closed: Factors | None = None) -> Solved:
        go_on()
        # What comes next says nothing of likes that came before.
        coming = ahead(
            lambda: transitions(self.config, self.data, withhold) if self.data.asks_next else None
        )
        together = ahead(lambda: self.sittings(withhold, ridge))
        closed = closed or self.closed(withhold, ridge)
        return Solved(ridge, closed, together.result(), coming.result())

    def closed(self, withhold: bool, ridge: float) -> Factors | None:
        """Regress the reviews of users on their histories; None without histories.

        Of many videos its rank leaves more out: where all users' scores fit, they are nearest to
        the regression where lists are made.
        """
        data, head = self.data, self.base.head
        found = self._regressed(ease.add_up, self.base, withhold, ridge)
        if found is None:
            return None
        sums, solution = found
        rows = data.search_likers if withhold else data.likers
        if len(head.items) <= MOST_LIKED or len(rows) * len(head.items) > MAX_CELLS:
            return as_factors(self.config, data, head, sums, solution)
        basis = leading(solution, sums.gram, self.config.dim)
        users = weighted_users(data, self.tower, withhold, head)
        return placed(data, head, *sharpened(solution, basis, sums.gram, ridge, users))

    def sittings(self, withhold: bool, ridge: float) -> Factors | None:
        """Regress the reviews of sittings on each other; None without histories or order."""
        ridge *= sittings.RIDGE_SHARE
        base = self.sittings_base
        found = self._regressed(sittings.add_up, base, withhold, ridge)
        return None if found is None else as_factors(self.config, self.data, base.head, *found)

    def _regressed(
        self, add_up: AddUp, base: Base, withhold: bool, ridge: float
    ) -> tuple[Sums, Floats] | None:
        if not base:
            return None
        sums = add_up(self.config, self.data, self.tower, withhold, base.head)
        if not sums.cross.any():
            return None
        return sums, solve(sums, ridge, base.prior)


def _histories(data: Data) -> list[Block]:
    return [block for block in data.layout.user if block.kind == "history"]
