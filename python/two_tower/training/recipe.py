"""The recipe.

1. Experts are linear maps from what is known of a user to scores of all videos: EASE over users,
   EASE over sessions, transitions where the split goes by time, two towers trained by a softmax.
2. Each is fitted without fold 0; its weight leaves the default only where it ranks fold 0 better
   than chance would. (The held-out split is never read here.)
3. All are fitted again on all training reviews, scaled, added, reduced to rank 127.
4. The sum is placed on the sphere, so that an index finds what the scores say.
5. A ridge from content to vectors places videos that nobody has reviewed, as high as lists can
   bear.

The main thread trains the towers, which take the steps of one core; what has no epochs is solved in
the background. Each result is a task on disk: an interrupted run skips what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from two_tower.core.background import background
from two_tower.core.progress import Bar
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap
from two_tower.model.towers import Towers
from two_tower.training.data.dataset import VALIDATION_FOLD, Data
from two_tower.training.data.validation import METRIC, least_gain, validate_towers
from two_tower.training.ensemble import Choice, Ensemble, known_videos
from two_tower.training.experts import (
    Expert,
    Weighted,
    distillation,
    ease,
    session_ease,
    towers,
    transitions,
)
from two_tower.training.experts.distillation import Distillation
from two_tower.training.experts.ridge_search import choose_ridge
from two_tower.training.experts.towers import Saved, Schedule, Trained
from two_tower.training.tasks import Tasks

# In the order in which their weights are chosen; those without epochs.
EXPERTS: tuple[Weighted, ...] = (ease, towers, session_ease, transitions)
SOLVED: tuple[Expert, ...] = (ease, session_ease, transitions)
Solved = dict[str, Future[LinearMap | None]]


class Penalty(NamedTuple):
    """The penalty of the closed form.

    Beside it the closed form under it, where it was tried on all videos that that covers, and
    whether its low rank loses so much that towers are to follow the full one.
    """

    ridge: float
    closed: LinearMap | None = None
    loses: bool = False


class Judged(NamedTuple):
    """What towers are worth: their best share beside the closed form, and its metrics."""

    choice: Choice
    metrics: dict[str, float]


@dataclass(frozen=True)
class Fitted:
    """A model, and how it was found.

    Attributes:
        towers: the model.
        choice: the weights of the experts, and what content is worth.
        schedule: how the trained towers were trained.
        value: the validation metric of the towers joined with the closed form alone; None where
            nobody could be ranked.
        history: a row an epoch of the search; at the end of a schedule its metrics are those of
            the towers joined with the closed form.
        trained: the towers of each fit.
        before: seconds of training before the run was interrupted.
    """

    towers: Towers
    choice: Choice
    schedule: Schedule
    value: float | None
    history: list[dict[str, float]]
    trained: list[Trained]
    before: float


class Recipe:
    """One run of the recipe.

    Args:
        config: the settings.
        data: the training data.
        tasks: the results that are there.
        shown: advanced by the users that the towers pass over.
    """

    def __init__(self, config: TrainConfig, data: Data, tasks: Tasks, shown: Bar) -> None:
        self.config, self.data, self.tasks, self.shown = config, data, tasks, shown
        self.search = data.without_fold(VALIDATION_FOLD)
        self.can_search = bool(len(data.validation) and len(self.search.fitted))
        # The closed form goes from histories to the videos: without either there is none.
        kinds = {block.kind for block in (*data.layout.user, *data.layout.item) if block.width}
        self.is_joined = config.start == "closed_form" and {"history", "identity"} <= kinds
        self.experts = [each for each in SOLVED if self.is_joined and each.applies(config, data)]
        rng = np.random.default_rng(config.seed)
        size = min(config.validation_users, len(data.validation))
        self.ranked = np.sort(rng.choice(data.validation, size, replace=False))
        self.schedules = towers.schedules(config, self.search)
        if not self.can_search:
            self.schedules = towers.schedules(config, data)[:1]
        self._plan(self.schedules[-1])
        self.before = 0.0
        self.penalty = background(self._penalty)

    def fit(self) -> Fitted:
        """Find a model."""
        searched = self._solved("search", self.search, after={}) if self.can_search else {}
        final = self._solved("final", self.data, after=searched)
        trained, judged = self._searched(searched)
        best = self.schedules[0]
        if len(judged) > 1:  # nobody waits for what the only one is worth
            self._note_solving()
            best = trained[self._best(judged)].schedule
        chosen = background(lambda: self._chosen(searched, trained, judged))
        self._plan(best)
        distilled = partial(self._distilled, self.data) if best.distilled else None
        last = self._trained("final/towers", best, distilled, self.data)
        self._note_solving()
        choice, model = chosen.result(), last.towers
        if self.is_joined:
            model = self._ensemble(self.data, final, last).towers(choice)
        found = [each.result() for each in judged]
        value = found[self._best(judged)].metrics[METRIC] if found else None
        return Fitted(
            model, choice, best, value, _history(trained, found), [*trained, last], self.before
        )

    def _penalty(self) -> Penalty:
        """Choose the penalty of the closed form."""
        if not self.can_search or ease.name not in {each.name for each in self.experts}:
            return Penalty(self.config.ridge or ease.RIDGE)

        def choose() -> Penalty:
            tried = choose_ridge(self.config, self.search, self.ranked)
            is_whole = len(tried.head) == len(ease.head_of(self.config, self.search))
            may_distil = len(self.schedules) > 1 and distillation.applies(self.config, self.data)
            loses = may_distil and distillation.is_needed(self.search, tried, self.ranked)
            return Penalty(tried.ridge, tried.closed if is_whole else None, loses)

        return self.tasks.run("search/ridge", choose)

    def _settled(self) -> TrainConfig:
        """Return the settings with the penalty that was chosen."""
        return self.config.changed(ridge=self.penalty.result().ridge)

    def _solved(self, phase: str, data: Data, after: Solved) -> Solved:
        """Begin with what needs no epochs; of two cores the steps of a search take one."""

        def solved(expert: Expert) -> LinearMap | None:
            wait(after.values())
            penalty = self.penalty.result()
            if expert.name == ease.name and data is self.search and penalty.closed is not None:
                return penalty.closed
            return expert.fit(self._settled(), data)

        return {
            each.name: self.tasks.begin(f"{phase}/{each.name}", partial(solved, each))
            for each in self.experts
        }

    def _searched(self, searched: Solved) -> tuple[list[Trained], list[Future[Judged]]]:
        """Train the towers on each schedule, and judge them meanwhile."""
        trained: list[Trained] = []
        judged: list[Future[Judged]] = []
        if not self.can_search:
            return trained, judged
        distilled = background(self._distilled_where_needed)
        for number, schedule in enumerate(self.schedules, start=1):
            follow = distilled.result if number > 1 else None
            found = self._trained(f"search/towers {number}", schedule, follow, self.search)
            judge = partial(self._judge, searched, found)
            judged.append(self.tasks.begin(f"search/judged {number}", judge))
            trained.append(found)
        return trained, judged

    def _distilled_where_needed(self) -> Distillation | None:
        """Return what the towers of the other schedule follow."""
        is_needed = len(self.schedules) > 1 and self.penalty.result().loses
        if not is_needed or self.tasks.is_done("search/towers 2"):
            return None
        return self._distilled(self.search)

    def _distilled(self, data: Data) -> Distillation:
        return distillation.fit(self._settled(), data)

    def _trained(
        self,
        key: str,
        schedule: Schedule,
        distilled: Callable[[], Distillation | None] | None,
        data: Data,
    ) -> Trained:
        """Train the towers on a schedule, by what they are to follow where they are."""
        saved = Saved(self.tasks.run_dir, key)
        some = self.ranked[:: 1 + len(self.ranked) // towers.GLANCED]
        glanced = some[:0] if data.fold is None else some

        def fit() -> Trained:
            follow = distilled() if distilled else None
            return towers.fit(self.config, data, schedule, follow, glanced, saved, self.shown)

        is_done, before = self.tasks.is_done(key), saved.load()
        trained = self.tasks.run(key, fit)
        if is_done:
            self.shown.advance(float(schedule.epochs * len(data.fitted)))
        self.before += trained.seconds if is_done else before["trained"]["seconds"] if before else 0
        return trained

    def _judge(self, searched: Solved, trained: Trained) -> Judged:
        """Measure towers, joined with the closed form."""
        if not self.is_joined:
            metrics = validate_towers(trained.towers, self.search, self.ranked)
            return Judged(Choice({towers.name: 1.0}), metrics)
        closed = {ease.name: searched[ease.name]} if ease.name in searched else {}
        ensemble = self._ensemble(self.search, closed, trained)
        return Judged(*ensemble.choose_towers(self.ranked, trained.schedule.distilled))

    def _best(self, judged: list[Future[Judged]]) -> int:
        """Return the number of the best towers: the first, unless others gain more than chance."""
        best, least = 0, 1 + least_gain(len(self.ranked))
        values = [each.result().metrics[METRIC] for each in judged]
        for number, value in enumerate(values):
            if value > values[best] * least:
                best = number
        return best

    def _chosen(
        self, searched: Solved, trained: list[Trained], judged: list[Future[Judged]]
    ) -> Choice:
        """Choose the other weights, and what content is worth, beside the towers trained last."""
        if not judged:
            return Choice() if self.is_joined else Choice({towers.name: 1.0})
        choice = judged[self._best(judged)].result().choice
        if not self.is_joined:
            return choice

        def choose() -> Choice:
            ensemble = self._ensemble(self.search, searched, trained[-1])
            weighted = ensemble.choose(choice, self.ranked)
            return ensemble.choose_cold_start(weighted, self.ranked)

        return self.tasks.run("search/weights", choose)

    def _ensemble(self, data: Data, solved: Solved, trained: Trained) -> Ensemble:
        """Return these experts and the towers."""
        found = {name: future.result() for name, future in solved.items()}
        found[towers.name] = trained.as_map(data, known_videos(data))
        parts = [(each, found.get(each.name)) for each in EXPERTS]
        return Ensemble(self.config, data, [(each, part) for each, part in parts if part])

    def _plan(self, last: Schedule) -> None:
        """Say how many users will have been passed over when the final fit is on this schedule."""
        searched = sum(each.epochs for each in self.schedules) if self.can_search else 0
        users = searched * len(self.search.fitted) + last.epochs * len(self.data.fitted)
        self.shown.total(float(users))

    def _note_solving(self) -> None:
        if self.is_joined:
            self.shown.note("solving what needs no epochs, and joining the towers with it")


def _history(trained: list[Trained], judged: list[Judged]) -> list[dict[str, Any]]:
    """Return a row an epoch of the search."""
    rows: list[dict[str, Any]] = []
    for fit, worth in zip(trained, judged, strict=True):
        schedule = {
            "schedule": fit.schedule.epochs,
            "temperature": fit.schedule.temperature,
            "taught": fit.schedule.distilled,
        }
        rows += [{"epoch": 0, **schedule, **row} for row in fit.rows]
        rows[-1] |= worth.metrics
    return [{**row, "epoch": number} for number, row in enumerate(rows, start=1)]
