"""The steps of a run. ``two-tower run`` and the Prefect flows share these lists.

A step takes the settings and the model's version (``None`` before training) and returns a summary
that is plain JSON. Steps are idempotent: they are retried while a server does not answer, and an
interrupted run resumes at the first step whose outputs are missing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from two_tower.core import output
from two_tower.core.settings import Settings
from two_tower.database import dbt, locks
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import doctor, retries, run_history, step_cache

logger = logging.getLogger("two_tower")

Summary = dict[str, Any]
Do = Callable[[str, Settings, str | None], Summary]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: for programs.
        title: for people.
        run: does it.
        locks: those it holds while it runs.
        is_repeatable: whether it is retried when a server did not answer.
        invalidates: steps whose outputs are out of date once this one has begun.
    """

    name: str
    title: str
    run: Callable[[Settings, str | None], Summary]
    locks: tuple[locks.Name, ...] = (locks.RUN,)
    is_repeatable: bool = True
    invalidates: tuple[str, ...] = ()


def load(settings: Settings, version: str | None) -> Summary:
    """Load new and changed review files and the catalogue."""
    from two_tower.data.load import load as load_files
    from two_tower.database import ddl

    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        return output.plain(load_files(settings, warehouse))


def build(settings: Settings, version: str | None) -> Summary:
    """Build and test data and features with dbt.

    Unit tests are left out: they test the SQL and not the data, and `make test` runs them.
    """
    arguments = ("--exclude-resource-type", "unit_test", *dbt.variables(settings))
    return output.plain(dbt.run(settings, "build", *arguments))


def train(settings: Settings, version: str | None) -> Summary:
    """Train a model, or reuse the one trained on the same rows; the summary has its version."""
    from two_tower.training.train import train as train_towers

    return output.plain(train_towers(settings, settings.train, reuse=True))


def evaluate(settings: Settings, version: str | None) -> Summary:
    """Measure the model on the held-out reviews, beside the baselines."""
    from two_tower.evaluation.evaluate import evaluate as evaluate_towers

    return output.plain(evaluate_towers(settings, version))


def export(settings: Settings, version: str | None) -> Summary:
    """Export ONNX and the feature files, and publish them in the registry."""
    from two_tower.artifacts.export import export as export_towers

    return output.plain(export_towers(settings, version))


def embed(settings: Settings, version: str | None) -> Summary:
    """Embed every user and video into the landing tables."""
    from two_tower.serving.embed import embed as embed_all

    return output.plain(embed_all(settings, version))


def release(settings: Settings, version: str | None) -> Summary:
    """Audit the landed vectors and, if they pass, release them."""
    from two_tower.serving.release import release as release_landed

    return output.plain(release_landed(settings))


def refresh(settings: Settings, version: str | None) -> Summary:
    """Embed what is new or changed with the serving model, into the served tables."""
    from two_tower.serving.refresh import refresh as refresh_served

    return output.plain(refresh_served(settings))


def rollback(settings: Settings, version: str | None) -> Summary:
    """Serve the release before again, or a version of the registry."""
    from two_tower.serving.rollback import rollback as roll_back

    return output.plain(roll_back(settings, version))


BOTH = (locks.RUN, locks.SERVING)
STEPS = (
    Step("load", "Load the review files and the catalogue", load),
    Step("build", "Build and test data and features (dbt build)", build),
    Step("train", "Train the towers", train),
    Step("evaluate", "Evaluate on held-out reviews", evaluate),
    Step("export", "Export ONNX and publish the artifacts", export, BOTH),
    Step("embed", "Embed every user and video", embed),
    Step("release", "Audit and release the vectors", release, BOTH),
)
DAILY_STEPS = (
    *STEPS[:2],
    # It writes to the landing tables too.
    Step(
        "refresh", "Embed what is new with the serving model", refresh, BOTH, invalidates=("embed",)
    ),
)
ROLLBACK_STEPS = (
    Step("rollback", "Put the previous release back", rollback, (locks.SERVING,), False),
)


def find_step(name: str) -> Step:
    """Return a step by its name."""
    every = (*STEPS, *DAILY_STEPS, *ROLLBACK_STEPS)
    return next(step for step in every if step.name == name)


def run_step(
    name: str, settings: Settings, version: str | None = None, in_run: bool = False
) -> Summary:
    """Run one step by name; its summary also holds ``seconds``.

    Args:
        name: the step's.
        settings: the project.
        version: the model's.
        in_run: whether it is part of a run. Then a step that finished on the same inputs, with its
            outputs still there, returns its former summary with ``reused``, and a server that does
            not answer is retried. Otherwise the step runs, and fails at once.

    Raises:
        BusyError: another process holds one of the step's locks.
        UnavailableError: a server did not answer; in a run, for ``settings.retry_seconds``.
    """
    step = find_step(name)
    started = time.perf_counter()
    if not in_run:
        doctor.preflight(settings, [name])

    def attempt() -> Summary:
        with locks.held(settings, *step.locks):
            inputs = step_cache.inputs_of(settings, name, version)
            found = step_cache.find(settings, name, version, inputs) if in_run else None
            if found is not None:
                return found | {"reused": True}
            begun = [name] if inputs is not None else []
            step_cache.forget(settings, [*begun, *step.invalidates])
            summary = step.run(settings, version)
            step_cache.record(settings, name, inputs, summary)
            return summary

    patience = settings.retry_seconds if in_run and step.is_repeatable else 0
    summary = retries.call(name, attempt, patience)
    summary = {**summary, "seconds": round(time.perf_counter() - started, 2)}
    logger.info("%s done", name, extra={"step": name, "summary": summary})
    return summary


def run(
    settings: Settings,
    do: Do,
    summaries: dict[str, Summary],
    steps: Sequence[Step] = STEPS,
    version: str | None = None,
    first: Callable[[], object] | None = None,
) -> str | None:
    """Run steps in order, alone on this database, after the doctor's checks of what they need.

    Args:
        settings: the project.
        do: runs one step: its name, the settings, the version.
        summaries: is filled with the summary of each step, by its name.
        steps: by default all of them.
        version: of the model that the first step works on.
        first: called before the first step if the run lock is held.

    Returns:
        The version of the model.

    Raises:
        InputError: something has to be fixed first, see :mod:`doctor`; nothing was written.
        BusyError: another run holds the lock; nothing was written.
    """
    title = " to ".join(dict.fromkeys([steps[0].name, steps[-1].name]))
    with alone(settings, steps) as is_alone:
        if is_alone and first is not None:
            first()
        with run_history.recorded(settings, title, summaries, is_alone):
            for step in steps:
                summaries[step.name] = do(step.name, settings, version)
                version = summaries[step.name].get("version", version)
    return version


@contextmanager
def alone(settings: Settings, steps: Sequence[Step]) -> Iterator[bool]:
    """Hold the run lock if a step needs it; servers that do not answer are retried.

    Yields:
        whether the lock is held. A rollback does not need it: it may run beside a run.

    Raises:
        InputError: something that the steps depend on has to be fixed first.
        BusyError: another run holds the lock.
    """
    names = [locks.RUN] if any(locks.RUN in step.locks for step in steps) else []
    with ExitStack() as stack:
        retries.call(
            "what a run needs",
            lambda: doctor.preflight(settings, [step.name for step in steps]),
            settings.retry_seconds,
        )
        retries.call(
            "the lock of a run",
            lambda: stack.enter_context(locks.held(settings, *names)),
            settings.retry_seconds,
        )
        yield bool(names)
