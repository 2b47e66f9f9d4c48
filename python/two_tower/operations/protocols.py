"""Evaluation protocols, from split to metrics: ``two-tower evaluate --protocol``.

A protocol has a schema and a run folder of its own, so that the live schema and the models that may
be exported do not change.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal, get_args

from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.database import dbt
from two_tower.database.warehouse import open_warehouse
from two_tower.evaluation.evaluate import EvaluationResult, evaluate
from two_tower.evaluation.ranking import Metrics
from two_tower.training.train import train

Protocol = Literal["random", "temporal", "cold-items", "cold-users"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
# The var split_strategy of each.
STRATEGIES: dict[Protocol, str] = {
    "random": "random",
    "temporal": "leave_last_out",
    "cold-items": "cold_items",
    "cold-users": "cold_users",
}

Figures = dict[str, dict[str, Metrics]]


@dataclass(frozen=True)
class ProtocolResult:
    """The metrics under one protocol.

    Attributes:
        protocol: its name.
        runs: one evaluation a seed of the split.
        mean: model -> slice -> metric, the mean of the runs that have it.
        spread: the standard deviation of the same, None for a single run.
    """

    protocol: str
    runs: list[EvaluationResult]
    mean: Figures
    spread: Figures


def evaluate_protocol(
    settings: Settings, protocol: Protocol, seeds: list[str] | None = None
) -> ProtocolResult:
    """Split, build, train and evaluate, once for each seed of the split.

    Args:
        settings: the project's; ``settings.train`` is how the model is trained.
        protocol: how to split.
        seeds: values of the var ``split_seed``; by default the project's own, once.

    Raises:
        InputError: the live schema has the name of a protocol's.
        BuildError: dbt could not build the split.
        NotEnoughDataError: the split leaves nothing to train or to evaluate on.
    """
    own = settings_of(settings, protocol)
    runs = []
    chosen: list[str | None] = [*seeds] if seeds else [None]
    for seed in chosen:
        build(own, protocol, seed)
        trained = train(own, settings.train)
        runs.append(evaluate(own, trained.version, protocol))
    return ProtocolResult(protocol, runs, *_summed_up(runs))


def settings_of(settings: Settings, protocol: Protocol) -> Settings:
    """Return the settings of a protocol: a schema and a folder of runs of its own.

    Raises:
        InputError: the settings' own schema has that name.
    """
    schema = f"two_tower_{protocol.replace('-', '_')}"
    if settings.schema_name == schema:
        raise InputError(
            f"TWO_TOWER_SCHEMA is {schema}, which the protocol {protocol} recreates each time",
            "unset TWO_TOWER_SCHEMA, or name another schema",
        )
    runs = settings.path(settings.runs_dir) / protocol
    return settings.model_copy(update={"schema_name": schema, "runs_dir": runs})


def build(settings: Settings, protocol: Protocol, seed: str | None) -> None:
    """Build the protocol's split, and everything training and evaluation read, in an empty schema.

    The schema is dropped first, because vocabularies are append-only: they would keep the training
    videos of the previous split.
    """
    with open_warehouse(settings) as warehouse:
        warehouse.execute(f"drop schema if exists {settings.schema_name} cascade")
    chosen = {"split_strategy": STRATEGIES[protocol], "split_seed": seed, "as_of": settings.as_of}
    given = {name: str(value) for name, value in chosen.items() if value is not None}
    # A manifest of its own: a change of vars makes dbt parse the whole project again, each time.
    target_path = f"{dbt.target_path(os.environ)}/{settings.schema_name}"
    dbt.run(
        settings,
        "build",
        *("--select", "+exposure:two_tower_trainer"),
        # Leaves out tests that also read models which are not selected.
        *("--indirect-selection", "buildable"),
        *("--exclude-resource-type", "unit_test"),
        *("--vars", json.dumps(given)),
        *("--target-path", target_path),
    )


def _summed_up(runs: list[EvaluationResult]) -> tuple[Figures, Figures]:
    """Return mean and standard deviation of every figure over the runs that have it."""
    means: Figures = {}
    spreads: Figures = {}
    for model, name, metric in dict.fromkeys(
        (model, name, metric)
        for run in runs
        for model, slices in run.metrics.items()
        for name, metrics in slices.items()
        for metric in metrics
    ):
        figures = [run.metrics[model].get(name, {}).get(metric) for run in runs]
        known = [figure for figure in figures if figure is not None]
        at = means.setdefault(model, {}).setdefault(name, {})
        at[metric] = mean(known) if known else None
        at = spreads.setdefault(model, {}).setdefault(name, {})
        at[metric] = stdev(known) if len(known) > 1 else None
    return means, spreads
