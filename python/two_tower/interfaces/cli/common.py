"""What commands share: options, settings, and how a result is shown."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from two_tower.core import output
from two_tower.core.targets import Engine

if TYPE_CHECKING:
    from two_tower.core.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Version = Annotated[
    str | None,
    typer.Option("--version", help="A model version, YYYYMMDD_HHMMSS. Default: the newest run."),
]
OnEngine = Annotated[
    Engine | None,
    typer.Option(help="Where it computes: local, or a Ray cluster. Default: $TWO_TOWER_ENGINE."),
]
Limit = Annotated[int, typer.Option("--limit", "-k", min=1, help="How many videos.")]


def choose(engine: Engine | None) -> None:
    """Let an option decide which engine the settings name."""
    if engine is not None:
        os.environ["TWO_TOWER_ENGINE"] = engine


def settings() -> Settings:
    """Return the settings; the log is configured, and profiles.yml says what ``.env`` says."""
    from two_tower.core import logs
    from two_tower.core.settings import read_settings, unknown_names
    from two_tower.database import dbt_profile

    found = read_settings()
    logs.configure(found.log_format)
    logs.warn_of(unknown_names(found.project_dir))
    dbt_profile.keep_in_step(found.project_dir)
    return found


def ready(step: str) -> Settings:
    """Return the settings, after the doctor's checks of what the step needs."""
    from two_tower.operations import doctor

    found = settings()
    doctor.preflight(found, [step])
    return found


def show(title: str, result: Any, as_json: bool) -> None:
    """Print a result: JSON for programs, a table for people."""
    if as_json:
        typer.echo(output.as_json(result, sys.stdout, indent=2))
    else:
        from two_tower.interfaces import terminal

        terminal.summary(title, result)


def step(name: str, as_json: bool, version: str | None = None) -> None:
    """Do a step of the pipeline, and print its summary."""
    from two_tower.operations import pipeline

    show(pipeline.find_step(name).title, pipeline.run_step(name, settings(), version), as_json)
