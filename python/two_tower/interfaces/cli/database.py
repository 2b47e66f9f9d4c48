"""Commands: dbt, and the embedded Postgres."""

from __future__ import annotations

from typing import Annotated

import typer

from two_tower.core import output
from two_tower.interfaces.cli import common

commands = typer.Typer(rich_markup_mode=None)
db = typer.Typer(
    no_args_is_help=True, help="The embedded Postgres: start it, stop it, connect to it."
)
commands.add_typer(db, name="db")


@commands.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def dbt(context: typer.Context) -> None:
    """Run dbt with the project's settings, those exported in this shell included.

    A bare `dbt` reads profiles.yml, which is written from `.env`. This one also starts the embedded
    Postgres for every command. dbt's arguments and exit code are passed on.

    Example: `two-tower dbt -- source freshness`
    """
    from two_tower.database.dbt import hand_over

    hand_over(common.settings(), context.args)


@db.command("start")
def db_start() -> None:
    """Start the embedded Postgres and print its URL.

    Example: `psql "$(two-tower db start)"`
    """
    from two_tower.database import embedded

    typer.echo(embedded.start(common.settings()))


@db.command("stop")
def db_stop() -> None:
    """Stop the embedded Postgres. The data stays.

    Example: `two-tower db stop`
    """
    from two_tower.database import embedded

    typer.echo("stopped" if embedded.stop(common.settings()) else "it was not running", err=True)


@db.command("url")
def db_url() -> None:
    """Print the URL of the embedded Postgres, running or not.

    Example: `export DATABASE_URL="$(two-tower db url)"`
    """
    from two_tower.database import embedded

    typer.echo(embedded.url(common.settings()))


@commands.command()
def grants(
    only_show: Annotated[
        bool, typer.Option("--show", help="Change nothing, show what is granted.")
    ] = False,
    as_json: common.Json = False,
) -> None:
    """Grant the app's roles what the var serving_roles says, revoke the rest, and show it.

    Builds and releases do the same. What other roles hold is shown with the statement that
    revokes it.

    Example: `two-tower grants --show`
    """
    from two_tower.interfaces import terminal
    from two_tower.operations import grants as app_grants

    settings = common.settings()
    rows = app_grants.shown(settings) if only_show else app_grants.applied(settings)
    if as_json:
        common.show("", [output.plain(row) for row in rows], True)
    else:
        terminal.grants(rows)
