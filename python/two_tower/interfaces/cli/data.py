"""Commands: the project, and files in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from two_tower.core import output
from two_tower.interfaces.cli import common

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def init() -> None:
    """Prepare a clone: write profiles.yml from `.env`, make the data folders. Your own files stay.

    Every command updates profiles.yml when `.env` changed, unless you edited it by hand.

    Example: `two-tower init`
    """
    from two_tower.operations.setup import prepare

    for line in prepare(common.settings()):
        typer.echo(line)


@commands.command("sample-data")
def sample_data(
    reviews: Annotated[int, typer.Option(help="How many reviews, 300 to 25 million.")] = 60_000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 7,
    as_json: common.Json = False,
) -> None:
    """Write a generated catalogue and reviews, and the best metrics any model could reach on them.

    Example: `two-tower sample-data --reviews 1000000`
    """
    from two_tower.data.sample_data import generate

    settings = common.settings()
    data_dir = settings.path(settings.data_dir)
    result = generate(data_dir, reviews, seed, review_files=settings.review_files)
    common.show("Sample data", output.plain(result), as_json)


@commands.command("import")
def import_data(
    format: Annotated[
        Literal["movielens", "recbole"],
        typer.Argument(help="movielens: an official folder. recbole: a folder of atomic files."),
    ],
    path: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The data's folder.")],
    as_json: common.Json = False,
) -> None:
    """Turn public data into this project's review and catalogue files.

    Example: `two-tower import movielens ~/Downloads/ml-25m`
    """
    from two_tower.data.importers import import_dataset

    settings = common.settings()
    data_dir = settings.path(settings.data_dir)
    result = import_dataset(format, path, data_dir, settings.review_files)
    common.show(f"Imported {path}", output.plain(result), as_json)


@commands.command()
def load(as_json: common.Json = False) -> None:
    """Load new and changed review files and the catalogue. The same file twice changes nothing.

    Rows that break a rule go to raw.rejected_reviews with file, line, reason and text.

    Example: `two-tower load --json`
    """
    common.step("load", as_json)
