"""The command line: ``two-tower COMMAND``. Every command calls one function of the package.

A file a group of commands; :mod:`common` has what they share.

What a command needs is imported inside it: torch, pyarrow and the database drivers take seconds
that ``two-tower --help`` should not cost. For the same reason help is plain text: typer's panels
load Rich, Markdown and Pygments, which take three times as long as all the rest.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import Annotated

import typer

from two_tower import __version__
from two_tower.core.targets import Target
from two_tower.interfaces.cli import data, database, http, operations, serving, training
from two_tower.interfaces.failures import INTERRUPTED, guarded

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="""
Video recommendations that live in your Postgres.

The whole way: init → sample-data (or import, or your own CSVs) → run. Each step of
`run` is a command of its own too: load → `dbt build` → train → evaluate → export →
embed → release. What any of them is missing, doctor says.

Settings come from the environment, then `.env` (see `.env.example`). Exit codes: 0 done, 2 wrong
arguments, 3 bad input or setting, 4 a server or bucket did not answer (worth retrying), 5 an audit
refused (serving is untouched), 6 not enough data, 7 another run is active and this one has written
nothing, 8 a test of the data failed (nothing was trained), 9 and 10 a warning and worse of `status
--check`, 1 a defect in this program.
""",
)
for group in (data, training, serving, http, operations, database):
    for command in group.commands.registered_commands:
        # The list of commands would cut what they do after some words.
        first, _, _ = (inspect.getdoc(command.callback) or "").partition("\n\n")
        command.short_help = first.replace("\n", " ")
    app.add_typer(group.commands)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"two-tower {__version__}")
        raise typer.Exit


@app.callback()
def options(
    target: Annotated[
        Target | None,
        typer.Option(help="Where the data lives. Default: $TWO_TOWER_TARGET, else embedded."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Options of every command."""
    if target is not None:
        os.environ["TWO_TOWER_TARGET"] = target


def main() -> None:
    """Run the command line."""
    guarded(_command_line)


def _command_line() -> None:
    code = app(standalone_mode=False)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    sys.exit(code or 0)
