"""Commands: a whole run, and whether all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from two_tower.core import output
from two_tower.core.errors import NotEnoughDataError
from two_tower.interfaces.cli import common

if TYPE_CHECKING:
    from two_tower.core.settings import Settings

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def run(
    deployment: Annotated[
        str | None,
        typer.Argument(help="Start this deployment on Prefect instead: weekly-two-tower, …"),
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Run every step: load, dbt build, train, evaluate, export, embed, release.

    A run that was cut short is resumed: finished steps are not done again. Where there is
    too little to train on or to measure, it ends there, and what is popular is served.

    Example: `two-tower run`, or `two-tower run weekly-two-tower` on Prefect
    """
    from two_tower.core import progress
    from two_tower.interfaces import terminal
    from two_tower.operations import pipeline

    if deployment is not None:
        from two_tower.interfaces.prefect_deployments import start

        common.show("Started", output.plain(start(common.settings(), deployment)), as_json)
        return

    summaries: dict[str, Any] = {}

    def do(name: str, settings: Settings, version: str | None) -> dict[str, Any]:
        names = [step.name for step in pipeline.STEPS]
        title = pipeline.STEPS[names.index(name)].title
        terminal.heading(f"{names.index(name) + 1}/{len(names)}  {title}")
        summary = pipeline.run_step(name, settings, version, in_run=True)
        terminal.brief(summary)
        if summary.get("reused"):  # what it warned of then holds still
            for text in summary.get("warnings", []):
                progress.warn(text)
        return summary

    try:
        pipeline.run(common.settings(), do, summaries)
    except NotEnoughDataError as error:
        # Nothing to fix: what is popular is served until there is more.
        terminal.notice(f"not enough data: {error}", error.hint)
    if as_json:
        common.show("", summaries, True)


@commands.command()
def status(
    check: Annotated[
        bool, typer.Option("--check", help="Say how well it is: exit 0, 9 a warning, 10 critical.")
    ] = False,
    prometheus: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write metrics for node_exporter; - for stdout."),
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Show what is loaded, trained and serving.

    For monitors: `--check` compares it with thresholds (`TWO_TOWER_MONITOR__…`), `--prometheus`
    writes a file for node_exporter's textfile collector. See docs/monitoring.md.

    Example: `two-tower status`, or `two-tower status --check`
    """

    if prometheus is not None and (check or as_json):
        raise typer.BadParameter("--prometheus is alone: --check and --json print something else")
    settings = common.settings()
    if prometheus is not None:
        _write_metrics(settings, prometheus)
    elif check:
        _check(settings, as_json)
    else:
        from two_tower.operations.status import status as read_status

        common.show("Status", output.plain(read_status(settings)), as_json)


def _write_metrics(settings: Settings, place: str) -> None:
    from two_tower.operations.health import health
    from two_tower.operations.prometheus import write

    try:
        found = health(settings)
    except Exception:
        write(place, None)  # or what was written before would still say that all is well
        raise
    write(place, found)


def _check(settings: Settings, as_json: bool) -> None:
    from two_tower.interfaces import terminal
    from two_tower.operations import monitor
    from two_tower.operations.health import health

    found = monitor.verdicts(health(settings), settings.monitor, monitor.utc_now())
    if as_json:
        common.show("", monitor.summary(found), True)
    else:
        terminal.verdicts(found)
    raise typer.Exit(monitor.exit_code(found))


@commands.command()
def doctor(as_json: common.Json = False) -> None:
    """Check everything a run needs, and say what to type where something is missing.

    It checks the server, pgvector, the role's privileges, the registry, the disks and Prefect. A
    run repeats the checks it depends on when it begins. Exit 3: something has to be fixed, 4:
    something did not answer.

    Example: `two-tower doctor`
    """
    from two_tower.core import checks
    from two_tower.interfaces import terminal
    from two_tower.operations.doctor import examine

    found = examine(common.settings())
    if as_json:
        common.show("", [check.as_dict() for check in found], True)
    else:
        terminal.checks(found)
    error = checks.refusal(found)
    if error is not None:
        raise typer.Exit(error.exit_code)


@commands.command()
def alerts(
    url: Annotated[
        str, typer.Argument(help='Takes a POST of {"text": "…"}, as a webhook of Slack does.')
    ],
    as_json: common.Json = False,
) -> None:
    """Let the project's Prefect server call a webhook when a run fails, or none has succeeded.

    The server first sends a test message. Run it again after a change of the URL or of
    automations.yaml: existing alarms are updated.

    Example: `two-tower alerts https://hooks.example/T0/B0/x`
    """
    from two_tower.interfaces.prefect_alerts import create

    common.show("Alarms", output.plain(create(common.settings(), url)), as_json)


@commands.command("forget-user")
def forget_user(
    user_id: Annotated[str, typer.Argument(help="A reviewer_id.")], as_json: common.Json = False
) -> None:
    """Remove a person from the database, the registry and the runs, and keep them out.

    A salted hash of the id is recorded, so that the files the person's reviews came from bring
    nothing back. Build and train again to remove their reviews from counts and weights.

    Example: `two-tower forget-user r00364274`
    """
    from two_tower.interfaces import terminal
    from two_tower.operations.forget_user import forget

    result = forget(common.ready("forget-user"), user_id)
    common.show("Forgotten", output.plain(result), as_json)
    if not result.rows and not result.files:
        terminal.notice("nothing was stored under this id", "check how it is written")
