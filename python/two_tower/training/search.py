"""A run of training between two epochs: a search for the best schedule, then the final fit.

How long to train, and how much the trained towers count beside the closed form, is found with
fold 0 of everyone's training reviews withheld (the held-out split is never read here); then both
are fitted anew on all training reviews and joined.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from two_tower.artifacts.runs import package_checksum
from two_tower.core import files
from two_tower.core.background import ahead
from two_tower.core.errors import InputError
from two_tower.core.progress import Bar
from two_tower.core.train_config import TrainConfig
from two_tower.model.towers import Towers
from two_tower.training import checkpoint
from two_tower.training.blend import Blend, Choice
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import least_gain, validate_towers
from two_tower.training.epochs import Fit, first_schedule
from two_tower.training.experts.distillation import Teacher
from two_tower.training.experts.ridge_search import RIDGE
from two_tower.training.experts.solver import Solved, Solver

# Of the three that validation measures the one that chance moves least.
METRIC = "ndcg@100"
# The other schedule is so many times as long, at so much of the temperature: where there is more to
# learn, lower temperatures no longer overfit. It may have so many times the passes that the first
# one may, and is not tried where that has all of them, or so many times the steps that it needs.
LONGER = 6
SHARPER = 0.5
PASSES = 2
LONG = 1.5
# Reviews that it may read: of a million a pass takes long, and the sum gains little by the last.
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
        taught: whether they also follow the closed form at full rank.
    """

    epochs: int
    temperature: float
    taught: bool = False


class Judged(NamedTuple):
    """What a schedule is worth: its row of the history, its blend, and the best share's metrics."""

    schedule: Schedule
    row: dict[str, float]
    blend: Blend | None
    share: float
    metrics: dict[str, float]


class Training:
    """A run between two epochs; everything that a checkpoint holds.

    The towers are tried on a schedule, and on a longer one at a lower temperature, on which they
    also follow the closed form where its low rank loses much; each ends with a learning rate of
    zero: an epoch in the middle of a schedule says little about how good the towers are at its end.
    There they are joined with the models that have no epochs, which are solved meanwhile, and
    judged together. Then all are fitted anew, on all training reviews, on the better one; what
    content is worth is tried meanwhile.

    Attributes:
        history: a row an epoch of the search: epoch, schedule, temperature, taught, loss, ndcg@100,
            …; at the end of a schedule the metrics are those of the towers joined with the closed
            form.
        refitting: whether the search is over and the final fit is on its way.
        best: the best schedule; None before there is one.
        best_value: its validation metric; None while that is on its way.
        joins: whether the towers are joined with a closed form.
        choice: the shares of the models in their sum, and what content is worth.
        ridge: the penalty of the closed form: of the schedules that were judged.
        searched: the models without epochs that the validation fold is withheld from, on their
            way; None where the final fit is gone on with.
        final: those of all training reviews, on their way as soon as the others are solved: of two
            cores the steps of a search take one.
        teacher: whom the towers follow on the other schedule, and in the final fit where that is
            the best, on its way.
        judged: what the first schedule is worth, on its way while the other one trains.
        chosen: the whole choice, on its way since the search ended.
    """

    def __init__(self, run: Path, config: TrainConfig, data: Data) -> None:
        self.run = run
        self.config = config
        self.data = data
        self.history: list[dict[str, float]] = []
        self.refitting = not (len(data.validation) and len(data.search_likers))
        self.best: Schedule | None = None
        self.best_value: float | None = None
        # The closed form goes from histories to the videos: without either there is none.
        kinds = {block.kind for block in (*data.layout.user, *data.layout.item) if block.width}
        self.joins = config.start == "closed_form" and {"history", "identity"} <= kinds
        self.choice = Choice()
        self.ridge = config.ridge or RIDGE
        self.last: dict[str, float] = {}
        self.reviews = self.seconds = 0.0
        self.saved_at = -math.inf
        rng = np.random.default_rng(config.seed)
        size = min(config.validation_users, len(data.validation))
        self.ranked = np.sort(rng.choice(data.validation, size, replace=False))
        saved = checkpoint.load_checkpoint(run)
        if saved is not None and saved.get("package") != package_checksum():
            raise InputError(
                f"another version of this program began {run}",
                "train a model anew, without --resume",
            )
        if saved is not None:
            self._restore(saved)
        self.judged: Future[Judged] | None = None
        self.chosen: Future[Choice] | None = None
        self.searched: Future[Solved] | None = None
        self.final: Future[Solved] | None = None
        self.teacher: Future[Teacher | None] | None = None
        users = data.likers if self.refitting else data.search_likers
        schedule = Schedule(first_schedule(config, len(users))[0], config.temperature)
        if saved is not None:
            schedule = Schedule(*saved["schedule"])
        if self.joins:
            self._solve(schedule)
        self.fit = self._fit(schedule)
        if saved is not None:
            self.fit.restore(saved["fit"])
        elif self.refitting:
            self.best = schedule

    def _solve(self, schedule: Schedule) -> None:
        """Begin with what needs no epochs."""
        self.solver = solver = Solver(self.config, self.data)
        if self.refitting:
            self.final = ahead(lambda: solver.final(self.ridge))
            if schedule.taught:
                self.teacher = ahead(lambda: solver.teacher(False, self.ridge))
            return
        tried = ahead(lambda: solver.try_ridges(self.ranked, METRIC))
        self.searched = searched = ahead(lambda: solver.search(tried.result()))
        self.final = ahead(lambda: solver.final(searched.result().ridge))
        if schedule.taught:
            self.teacher = ahead(lambda: solver.teacher(True, tried.result().ridge))
        elif self._longer() and solver.may_teach:
            self.teacher = ahead(lambda: solver.teacher_if_needed(tried.result(), self.ranked))

    def _fit(self, schedule: Schedule) -> Fit:
        """Return the beginning of a schedule."""
        self.schedule = schedule
        config = self.config.changed(temperature=schedule.temperature)
        return Fit(config, self.data, withhold=not self.refitting, epochs=schedule.epochs)

    def finish(self, shown: Bar) -> Towers:
        """Train to the end, with checkpoints, and return the model."""
        rows = len(self.fit.rows)
        if self.schedule.taught and self.fit.done < self.fit.epochs:
            self._follow(shown)
        shown.advance((len(self.history) + self.refitting * self.fit.done) * rows)
        while not self.refitting:
            left = self.fit.epochs - self.fit.done + max(self._passes, self.fit.epochs)
            shown.total(float((len(self.history) + left) * rows))
            self._try(shown)
        shown.total(float((len(self.history) + self._passes) * rows))
        while self.fit.done < self._passes:
            self._epoch(shown)
            self._save()
        self._note_joining(shown)
        if self.chosen is not None:
            self.choice = self.chosen.result()
        files.write_json(self.run / "history.json", self.history)
        blend = self._blend(self.fit)
        return self.fit.towers if blend is None else blend.towers(self.choice)

    def _try(self, shown: Bar) -> None:
        """Train an epoch with the validation fold withheld, and see whether to go on."""
        # A run that was cut short between the end of a schedule and its judgement is gone on with
        # there.
        figures = self.last if self.fit.done == self.fit.epochs else self._epoch(shown)
        is_end = self.fit.done == self.fit.epochs
        if self.judged is not None and (is_end or self.judged.done()):
            self._take(self.judged.result())
        if is_end:
            self._save(at_once=True)
        planned = {
            "epoch": len(self.history) + 1,
            "schedule": self.schedule.epochs,
            "temperature": self.schedule.temperature,
            "taught": self.schedule.taught,
        }
        self.history.append({**planned, **figures})
        if is_end:
            self._end(shown)
        else:
            some = self.ranked[:: 1 + len(self.ranked) // GLANCED]
            self.history[-1] |= validate_towers(self.fit.towers, self.fit.data, some)
        self._save()

    def _end(self, shown: Bar) -> None:
        """At the end of a schedule: begin the other one, or the final fit."""
        schedule, row = self.schedule, self.history[-1]
        if longer := self._longer():
            first = self.fit
            # It comes whatever this one is found to be worth.
            self.judged = ahead(lambda: self._judge(first, schedule, row))
            taught = self._awaited(shown) is not None
            self.fit = self._fit(Schedule(longer, SHARPER * schedule.temperature, taught))
            if taught:
                self._follow(shown)
            return
        if self.best is None:
            # The only one is the best whatever it is found to be worth: nobody waits for that.
            self.best, fit = schedule, self.fit
            judging = ahead(lambda: self._judge(fit, schedule, row))

            def conclude() -> Choice:
                judged = judging.result()
                self._take(judged)
                return self._choose_the_rest(judged.blend)

            self.chosen = ahead(conclude)
        else:
            self._note_joining(shown)
            judged = self._judge(self.fit, schedule, row)
            self._take(judged)
            self.chosen = ahead(lambda: self._choose_the_rest(judged.blend))
        self.refitting = True
        # Nobody needs the search's any more, which takes as much room as the final one's.
        self.teacher = None
        self.fit = self._fit(self.best)
        if self.best.taught:
            self.teacher = ahead(lambda: self.solver.teacher(False, self.ridge))
            self._follow(shown)

    def _follow(self, shown: Bar) -> None:
        """Have the towers follow their teacher."""
        teacher = self._awaited(shown)
        assert teacher is not None
        self.fit.follow(teacher)

    def _awaited(self, shown: Bar) -> Teacher | None:
        """Return the teacher, if there is one, once it is there."""
        if self.teacher is None:
            return None
        if not self.teacher.done():
            shown.note("solving what the towers are to follow")
        return self.teacher.result()

    def _longer(self) -> int:
        """Return the epochs of the other schedule; 0 where there is none, or no longer."""
        config = self.config
        first, steps = first_schedule(config, len(self.data.search_likers))
        # Of many users a single epoch may have more steps than the first schedule needs.
        is_long = first * steps >= LONG * config.steps
        longest = min(PASSES * config.epochs, MOST_READ // max(self.data.reviews, 1))
        longer = min(LONGER * first, longest)
        no_more = self.best is not None or first == config.epochs or is_long or longer <= first
        return 0 if no_more else longer

    def _judge(self, fit: Fit, schedule: Schedule, row: dict[str, float]) -> Judged:
        """Measure the towers of a schedule, joined with what needs no epochs."""
        blend = self._blend(fit)
        if blend is None:
            metrics = validate_towers(fit.towers, fit.data, self.ranked)
            return Judged(schedule, row, None, 1.0, metrics)
        return Judged(schedule, row, blend, *blend.choose(self.ranked, METRIC, schedule.taught))

    def _take(self, judged: Judged) -> None:
        """Note what a schedule is worth: it is the best if it gains more than chance."""
        self.judged = None
        judged.row.update(judged.metrics)
        value, least = judged.metrics[METRIC], 1 + least_gain(len(self.ranked))
        if self.best_value is None or value > self.best_value * least:
            self.best_value, self.choice = value, Choice(judged.share)
            self.best = judged.schedule
        if judged.blend is not None:
            self.ridge = judged.blend.solved.ridge

    def _choose_the_rest(self, blend: Blend | None) -> Choice:
        """Choose the other shares, and what content is worth."""
        if blend is None:
            return self.choice
        choice = blend.try_sittings(self.choice, self.ranked, METRIC)
        self.choice = blend.try_transitions(choice, self.ranked, METRIC)
        return blend.try_content(self.choice, self.ranked, METRIC)

    def _blend(self, fit: Fit) -> Blend | None:
        """Return the towers of a fit beside the other models of the same reviews."""
        solved = self.searched if fit.withhold else self.final
        if solved is None:
            return None
        return Blend(self.config, self.data, fit.towers, solved.result(), fit.withhold)

    def _note_joining(self, shown: Bar) -> None:
        if self.joins:
            shown.note("solving what needs no epochs, and joining the towers with it")

    @property
    def _passes(self) -> int:
        """Epochs of the best schedule so far."""
        return 0 if self.best is None else self.best.epochs

    def _epoch(self, shown: Bar) -> dict[str, float]:
        figures = self.fit.epoch(shown.advance)
        self.last = figures
        self.reviews += figures.pop("reviews")
        self.seconds += figures["seconds"]
        figures["rows_per_second"] = self.reviews / max(self.seconds, 1e-9)
        value = self.history[-1].get(METRIC) if self.history else None
        metric = "" if value is None else f" · {METRIC} {value:.4f}"
        rows = f"{figures['rows_per_second']:,.0f} rows/s"
        epoch = f"epoch {self.fit.done} of {self.fit.epochs}"
        shown.note(f"{epoch} · loss {figures['loss']:.4f}{metric} · {rows}")
        return figures

    def _save(self, at_once: bool = False) -> None:
        """Write a checkpoint, unless there is one of a moment ago or a choice is still open."""
        if self.judged is not None:
            return
        if self.chosen is not None:
            if not self.chosen.done():
                return
            self.choice = self.chosen.result()
        if not at_once and time.monotonic() < self.saved_at + SAVE_EVERY:
            return
        files.write_json(self.run / "history.json", self.history)
        state = {
            "package": package_checksum(),
            "history": self.history,
            "refitting": self.refitting,
            "best": self.best and tuple(self.best),
            "best_value": self.best_value,
            "choice": asdict(self.choice),
            "ridge": self.ridge,
            "last": self.last,
            "reviews": self.reviews,
            "seconds": self.seconds,
            "schedule": tuple(self.schedule),
            "fit": self.fit.state(),
        }
        checkpoint.save_checkpoint(self.run, state)
        self.saved_at = time.monotonic()

    def _restore(self, saved: dict[str, Any]) -> None:
        self.refitting = saved["refitting"]
        self.history = saved["history"]
        self.best = saved["best"] and Schedule(*saved["best"])
        self.best_value = saved["best_value"]
        self.choice = Choice(**saved["choice"])
        self.ridge = saved["ridge"]
        self.last = saved["last"]
        self.reviews = saved["reviews"]
        self.seconds = saved["seconds"]
