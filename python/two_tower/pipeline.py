"""The whole way in steps. ``two-tower run`` and the Prefect flow walk the same list.

Each step takes the settings and the version of the model it works on (``None`` until training has
made one) and returns a summary that is plain JSON.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from two_tower import dbt
from two_tower.settings import Settings
from two_tower.warehouse import open_warehouse

Summary = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One step: ``name`` for programs, ``title`` for people."""

    name: str
    title: str
    run: Callable[[Settings, str | None], Summary]


def plain(result: Any) -> Summary:
    """Return a result dataclass as JSON-able values."""
    text = json.dumps(dataclasses.asdict(result), default=_jsonable)
    values: Summary = json.loads(text)
    return values


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value.item()


def load(settings: Settings, version: str | None) -> Summary:
    """Load new and changed review files and the catalogue."""
    from two_tower import tables
    from two_tower.load import load as load_files

    with open_warehouse(settings) as warehouse:
        tables.ensure_all(warehouse)
        return plain(load_files(settings, warehouse))


def build(settings: Settings, version: str | None) -> Summary:
    """Build and test data and features with dbt.

    Unit tests are left out: they test the SQL, which `make test` has done, and not the data.
    """
    arguments = ["--exclude-resource-type", "unit_test"]
    if settings.as_of is not None:
        arguments += ["--vars", json.dumps({"as_of": settings.as_of.isoformat()})]
    return plain(dbt.run(settings, "build", *arguments))


def train(settings: Settings, version: str | None) -> Summary:
    """Train a model, unless there is one of the same rows; its version is in the summary."""
    from two_tower.train import train as train_towers

    return plain(train_towers(settings, settings.train, reuse=True))


def evaluate(settings: Settings, version: str | None) -> Summary:
    """Measure the model on the held-out reviews, beside the baselines."""
    from two_tower.evaluate import evaluate as evaluate_towers

    return plain(evaluate_towers(settings, version))


def export(settings: Settings, version: str | None) -> Summary:
    """Export ONNX and the feature files, and publish them in the registry."""
    from two_tower.export import export as export_towers

    return plain(export_towers(settings, version))


def embed(settings: Settings, version: str | None) -> Summary:
    """Embed every user and video into the landing tables."""
    from two_tower.embed import embed as embed_all

    return plain(embed_all(settings, version))


def release(settings: Settings, version: str | None) -> Summary:
    """Audit the landed vectors and, if they pass, release them."""
    from two_tower.release import release as release_landed

    return plain(release_landed(settings))


STEPS = (
    Step("load", "Load the review files and the catalogue", load),
    Step("build", "Build and test data and features (dbt build)", build),
    Step("train", "Train the towers", train),
    Step("evaluate", "Evaluate on held-out reviews", evaluate),
    Step("export", "Export ONNX and publish the artifacts", export),
    Step("embed", "Embed every user and video", embed),
    Step("release", "Audit and release the vectors", release),
)


def run_step(name: str, settings: Settings, version: str | None = None) -> Summary:
    """Run one step by name; its summary also holds ``seconds``."""
    step = next(step for step in STEPS if step.name == name)
    started = time.perf_counter()
    summary = step.run(settings, version)
    return {**summary, "seconds": round(time.perf_counter() - started, 2)}
