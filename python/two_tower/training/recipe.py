"""The recipe.

1. Experts are linear maps from what is known of a user to scores of all videos: EASE over users,
   EASE over sessions, transitions where the split goes by time, two towers trained by a softmax,
   popularity.
2. Each is fitted without fold 0; its weight leaves the default only where it ranks fold 0 better
   than chance would. (The held-out split is never read here.)
3. All are fitted again on all training reviews, scaled, added, reduced to rank 127.
4. The sum is placed on the sphere, so that an index finds what the scores say. What is known of
   somebody before their first like is added, and vectors that crowd there are spread.
5. A ridge from content to vectors places videos that nobody has reviewed, as high as lists can
   bear.

The main thread trains the towers; the other experts are solved in the background. Each result is a
task on disk: an interrupted run skips what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from two_tower.core.background import background
from two_tower.core.progress import Bar
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap
from two_tower.model.towers import Towers
from two_tower.training.data.dataset import VALIDATION_FOLD, Data
from two_tower.training.data.validation import METRIC, first_or_best, least_gain, validate_towers
from two_tower.training.ensemble import Choice, Ensemble
from two_tower.training.experts import (
    Expert,
    Weighted,
    distillation,
    ease,
    popularity,
    session_ease,
    towers,
    transitions,
)
from two_tower.training.experts.distillation import Distillation
from two_tower.training.experts.ridge_search import Tried, choose_ridge
from two_tower.training.experts.towers import Schedule, Trained
from two_tower.training.tasks import Checkpoint, Tasks

# In the order in which their weights are chosen; those without epochs.
EXPERTS: tuple[Weighted, ...] = (ease, towers, session_ease, transitions, popularity)
SOLVED: tuple[Expert, ...] = (ease, session_ease, transitions, popularity)
Solved = dict[str, Future[LinearMap | None]]
FitTowers = Callable[..., Trained]  # :func:`towers.fit`, here or on workers
Judged = tuple[Choice, dict[str, float]]  # the best weight of the towers beside EASE, its metrics


@dataclass(frozen=True)
class Fitted:
    """A model, and how it was found."""

    towers: Towers
    choice: Choice
    schedule: Schedule
    value: float | None  # METRIC on fold 0 of towers and EASE alone; None if nobody was ranked
    history: list[dict[str, float]]  # a row an epoch of the search
    trained: list[Trained]  # the towers of each fit
    before: float  # seconds of training before the run was interrupted
    crowding: dict[str, float]  # mean cosines of users and videos, before any were spread


class Recipe:
    """One run of the recipe; ``shown`` advances by the users that the towers pass over."""

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        tasks: Tasks,
        shown: Bar,
        fit_towers: FitTowers = towers.fit,
    ) -> None:
        self.config, self.data, self.tasks, self.shown = config, data, tasks, shown
        self.fit_towers = fit_towers
        self.search = data.without_fold(VALIDATION_FOLD)
        self.can_search = bool(len(data.validation) and len(self.search.fitted))
        # EASE goes from histories to the videos' ids: without either there is nothing to join.
        kinds = {block.kind for block in (*data.layout.user, *data.layout.item) if block.width}
        self.is_joined = config.start == "closed_form" and {"history", "identity"} <= kinds
        self.experts = [each for each in SOLVED if self.is_joined and each.applies(config, data)]
        rng = np.random.default_rng(config.seed)
        size = min(config.validation_users, len(data.validation))
        self.ranked = np.sort(rng.choice(data.validation, size, replace=False))
        self.schedules = towers.schedules(config, self.search)
        if not self.can_search:
            self.schedules = towers.schedules(config, data)[:1]
        last = self.schedules[-1]
        self._plan((towers.trained_on(last, data) if self.can_search else None) or last)
        self.before = 0.0
        self.penalty = background(lambda: self.tasks.run("search/ridge", self._penalty))

    def fit(self) -> Fitted:
        """Fit the experts without fold 0, choose their weights, fit them again and add them up."""
        search = self._solve("search", self.search, after={}) if self.can_search else {}
        final = self._solve("final", self.data, after=search)
        trained, judged = self._search_towers(search)
        number = 0
        if len(judged) > 1:  # nobody waits for what the only one is worth
            self._note_solving()
            number = self._best(judged)
        best = trained[number].schedule if trained else self.schedules[0]
        chosen = background(lambda: self._choose(search, trained, judged))
        on = towers.trained_on(best, self.data) if trained else None
        self._plan(on or best)
        distilled = partial(self._distil, self.data) if best.distilled else None
        begun = trained[number].towers if on else None
        last = self._train("final/towers", on or best, distilled, self.data, begun)
        self._note_solving()
        choice, model = chosen.result(), last.towers
        crowding: dict[str, float] = {}
        if self.is_joined:
            ensemble = self._ensemble(self.data, final, last)
            model, crowding = ensemble.towers(choice), ensemble.crowding
        found = [each.result()[1] for each in judged]
        value = found[self._best(judged)][METRIC] if found else None
        history = _history(trained, found)
        all_trained = [*trained, last]
        return Fitted(model, choice, best, value, history, all_trained, self.before, crowding)

    def _penalty(self) -> tuple[Tried, bool]:
        """Choose EASE's penalty; return whether the towers are to be distilled from it as well."""
        rows = self.ranked if self.can_search and self.is_joined else self.ranked[:0]
        tried = choose_ridge(self.config, self.search, rows)
        may_distil = len(self.schedules) > 1 and distillation.applies(self.config, self.data)
        is_needed = may_distil and distillation.is_needed(self.search, tried, rows)
        return tried._replace(solution=None), is_needed

    def _settled(self) -> TrainConfig:
        """Return the settings with the penalty that was chosen."""
        return self.config.changed(ridge=self.penalty.result()[0].ridge)

    def _solve(self, phase: str, data: Data, after: Solved) -> Solved:
        """Begin to fit the experts without epochs, once those before are there: one core's work."""

        def solved(expert: Expert) -> LinearMap | None:
            wait(after.values())
            tried, config = self.penalty.result()[0], self._settled()
            is_tried = expert.name == ease.name and data is self.search and tried.closed is not None
            if is_tried and len(tried.head) == len(ease.head_of(config, data)):
                return tried.closed
            return expert.fit(config, data)

        return {
            each.name: self.tasks.begin(f"{phase}/{each.name}", partial(solved, each))
            for each in self.experts
        }

    def _search_towers(self, search: Solved) -> tuple[list[Trained], list[Future[Judged]]]:
        """Train the towers on each schedule, and judge them meanwhile."""
        trained: list[Trained] = []
        judged: list[Future[Judged]] = []
        if not self.can_search:
            return trained, judged
        distilled = background(self._distil_where_needed)
        for number, schedule in enumerate(self.schedules, start=1):
            wait_for = distilled.result if number > 1 else None
            found = self._train(f"search/towers {number}", schedule, wait_for, self.search)
            judge = partial(self._judge, search, found)
            judged.append(self.tasks.begin(f"search/judged {number}", judge))
            trained.append(found)
        return trained, judged

    def _distil_where_needed(self) -> Distillation | None:
        """Return what the towers of the longer schedule are distilled from."""
        is_needed = len(self.schedules) > 1 and self.penalty.result()[1]
        if not is_needed or self.tasks.is_done("search/towers 2"):
            return None
        return self._distil(self.search)

    def _distil(self, data: Data) -> Distillation:
        return distillation.fit(self._settled(), data)

    def _train(
        self,
        key: str,
        schedule: Schedule,
        distilled: Callable[[], Distillation | None] | None,
        data: Data,
        begun: Towers | None = None,
    ) -> Trained:
        """Train the towers on a schedule, on from their checkpoint or from ``begun``."""
        checkpoint = Checkpoint(self.tasks.run_dir, key)
        is_done, before = self.tasks.is_done(key), checkpoint.load()

        def fit() -> Trained:
            given = distilled() if distilled else None
            return self.fit_towers(
                self.config, data, schedule, given, self.ranked, checkpoint, self.shown, begun
            )

        trained = self.tasks.run(key, fit)
        if is_done:
            self.shown.advance(float(schedule.epochs * len(data.fitted)))
        self.before += trained.seconds if is_done else before["trained"]["seconds"] if before else 0
        return trained

    def _judge(self, search: Solved, trained: Trained) -> Judged:
        """Choose the weight of towers beside EASE."""
        if not self.is_joined:
            metrics = validate_towers(trained.towers, self.search, self.ranked)
            return Choice({towers.name: 1.0}), metrics
        closed = {name: future for name, future in search.items() if name == ease.name}
        ensemble = self._ensemble(self.search, closed, trained)
        return ensemble.choose_towers(self.ranked, trained.schedule.distilled)

    def _best(self, judged: list[Future[Judged]]) -> int:
        """Return the number of the best towers: the first, unless others gain more than chance."""
        values = [each.result()[1][METRIC] for each in judged]
        return first_or_best(values, least_gain(len(self.ranked)))

    def _choose(
        self, search: Solved, trained: list[Trained], judged: list[Future[Judged]]
    ) -> Choice:
        """Choose the other weights and the boost, beside the towers trained last."""
        if not self.is_joined:
            return Choice({towers.name: 1.0})
        if not judged:
            return Choice()

        def choose() -> Choice:
            ensemble = self._ensemble(self.search, search, trained[-1])
            choice = ensemble.choose(judged[self._best(judged)].result()[0], self.ranked)
            choice = ensemble.choose_prior(choice, self.ranked)
            return ensemble.choose_cold_start(choice, self.ranked)

        return self.tasks.run("search/weights", choose)

    def _ensemble(self, data: Data, solved: Solved, trained: Trained) -> Ensemble:
        """Return these experts and the towers."""
        found = {name: future.result() for name, future in solved.items()}
        found[towers.name] = trained.as_map(data, data.known)
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


def _history(trained: list[Trained], metrics: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return a row an epoch; at the end of a schedule its metrics are those beside EASE."""
    rows: list[dict[str, Any]] = []
    for fit, found in zip(trained, metrics, strict=True):
        schedule = {
            "schedule": fit.schedule.epochs,
            "temperature": fit.schedule.temperature,
            "taught": fit.schedule.distilled,
        }
        rows += [{"epoch": 0, **schedule, **row} for row in fit.rows]
        rows[-1] |= found
    return [{**row, "epoch": number} for number, row in enumerate(rows, start=1)]
