"""The command line: ``two-tower COMMAND``. Every command calls one function of the package.

What a command needs is imported inside it: torch, pyarrow and the database drivers take seconds
that ``two-tower --help`` should not cost.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from two_tower import __version__
from two_tower.core import output, progress
from two_tower.core.errors import NotEnoughDataError
from two_tower.core.targets import Target
from two_tower.interfaces import terminal
from two_tower.interfaces.failures import INTERRUPTED, guarded

if TYPE_CHECKING:
    from two_tower.core.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""
Video recommendations that live in your Postgres.

The whole way: **init** → **sample-data** (or **import**, or your own CSVs) → **run**. Each step of
`run` is a command of its own too: **load** → `dbt build` → **train** → **evaluate** → **export** →
**embed** → **release**. What any of them is missing, **doctor** says.

Settings come from the environment, then `.env` (see `.env.example`). Exit codes: 0 done, 2 wrong
arguments, 3 bad input or setting, 4 a server or bucket did not answer (worth retrying), 5 an audit
refused (serving is untouched), 6 not enough data, 7 another run is at work and this one has written
nothing, 8 a test of the data failed (nothing was trained), 9 and 10 a warning and worse of `status
--check`, 1 a defect in this program.
""",
)
db = typer.Typer(
    no_args_is_help=True, help="The embedded Postgres: start it, stop it, connect to it."
)
app.add_typer(db, name="db")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Version = Annotated[
    str | None,
    typer.Option("--version", help="A model version, YYYYMMDD_HHMMSS. Default: the newest run."),
]
Limit = Annotated[int, typer.Option("--limit", "-k", min=1, help="How many videos.")]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"two-tower {__version__}")
        raise typer.Exit


@app.callback()
def common(
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


def _settings() -> Settings:
    from two_tower.core import logs
    from two_tower.core.settings import read_settings, unknown_names
    from two_tower.database import dbt_profile

    settings = read_settings()
    logs.configure(settings.log_format)
    logs.warn_of(unknown_names(settings.project_dir))
    dbt_profile.keep_in_step(settings.project_dir)
    return settings


def _ready(step: str) -> Settings:
    """Return the settings, once it is sure that the step has what it needs."""
    from two_tower.operations import doctor

    settings = _settings()
    doctor.preflight(settings, [step])
    return settings


def _show(title: str, result: Any, as_json: bool) -> None:
    """Print a result: JSON for programs, a table for people."""
    if as_json:
        typer.echo(output.as_json(result, sys.stdout, indent=2))
    else:
        terminal.summary(title, result)


def _step(name: str, as_json: bool, version: str | None = None) -> None:
    from two_tower.operations import pipeline

    step = pipeline.find_step(name)
    _show(step.title, pipeline.run_step(name, _settings(), version), as_json)


@app.command()
def init() -> None:
    """Prepare a clone: profiles.yml from `.env`, the data folders. What you wrote stays.

    Every command brings profiles.yml in step with `.env`, unless it was changed by hand.

    Example: `two-tower init`
    """
    from two_tower.operations.setup import prepare

    for line in prepare(_settings()):
        typer.echo(line)


@app.command("sample-data")
def sample_data(
    reviews: Annotated[
        int, typer.Option(min=100, help="How many reviews, up to 25 million.")
    ] = 60_000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 7,
    as_json: Json = False,
) -> None:
    """Write a generated catalogue and reviews, and the best figures any model could reach on them.

    Example: `two-tower sample-data --reviews 1000000`
    """
    from two_tower.data.sample_data import generate
    from two_tower.operations import pipeline

    settings = _settings()
    result = generate(settings.path(settings.data_dir), reviews=reviews, seed=seed)
    _show("Sample data", pipeline.plain(result), as_json)


@app.command("import")
def import_data(
    format: Annotated[
        Literal["movielens", "recbole"],
        typer.Argument(help="movielens: an official folder. recbole: a folder of atomic files."),
    ],
    path: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The data's folder.")],
    as_json: Json = False,
) -> None:
    """Turn public data into this project's review and catalogue files.

    Example: `two-tower import movielens ~/Downloads/ml-25m`
    """
    from two_tower.data.importers import import_dataset
    from two_tower.operations import pipeline

    settings = _settings()
    result = import_dataset(format, path, settings.path(settings.data_dir))
    _show(f"Imported {path}", pipeline.plain(result), as_json)


@app.command()
def load(as_json: Json = False) -> None:
    """Load new and changed review files and the catalogue. The same file twice changes nothing.

    Rows that break a rule go to raw.rejected_reviews with file, line, reason and text.

    Example: `two-tower load --json`
    """
    _step("load", as_json)


@app.command()
def train(
    loss: Annotated[
        Literal["softmax", "bce"] | None, typer.Option(help="softmax, or the specification's bce.")
    ] = None,
    negatives: Annotated[
        int | None, typer.Option("--negatives", "-K", min=1, help="Negatives a positive (bce).")
    ] = None,
    start: Annotated[
        Literal["closed_form", "random"] | None,
        typer.Option(help="Join the towers with a closed form, or train them alone."),
    ] = None,
    features: Annotated[
        Literal["all", "spec"] | None,
        typer.Option(help="All, or the first specification's: no histories, no ids."),
    ] = None,
    novelty: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Trades popular videos for less known ones."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many epochs.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed trains the same model.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest interrupted run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the towers on the feature tables that `dbt build` made.

    Every other setting of training is an environment variable, `TWO_TOWER_TRAIN__FIELD`.

    Example: `two-tower train --loss bce -K 5 --start random`
    """
    from two_tower.operations import pipeline
    from two_tower.training.train import train as train_towers

    settings = _ready("train")
    chosen: dict[str, object] = {"loss": loss, "negatives": negatives, "start": start}
    chosen |= {"features": features, "novelty": novelty, "epochs": epochs, "seed": seed}
    given = {name: value for name, value in chosen.items() if value is not None}
    config = settings.train.changed(**given)
    _show("Trained", pipeline.plain(train_towers(settings, config, resume=resume)), as_json)


@app.command()
def evaluate(
    version: Version = None,
    protocol: Annotated[
        Literal["random", "temporal", "cold-items", "cold-users"] | None,
        typer.Option(help="Split, build and train for it first, beside what is there."),
    ] = None,
    split_seeds: Annotated[
        list[str] | None,
        typer.Option("--split-seed", help="With --protocol; give it again for another split."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model on the held-out reviews, beside popularity and item-kNN.

    The figures, with 95 % intervals, go to evaluation_runs and evaluation_metrics, and into an HTML
    report with plots. What is measured, and how: docs/evaluation.md.

    A **protocol** trains a model of its own: *random* holds out a share of each user's reviews,
    *temporal* each user's last like, *cold-items* and *cold-users* a tenth of the videos or users.

    Example: `two-tower evaluate --protocol cold-items --split-seed a --split-seed b`
    """
    from two_tower.operations import pipeline

    if protocol is None and split_seeds:
        raise typer.BadParameter("--split-seed needs --protocol: what is built has its split")
    if protocol is not None and version is not None:
        raise typer.BadParameter("--protocol trains its own model: leave --version out")
    if protocol is None:
        from two_tower.evaluation.evaluate import evaluate as evaluate_towers

        result: Any = evaluate_towers(_ready("evaluate"), version)
        show: Callable[[Any], None] = terminal.evaluation
    else:
        from two_tower.operations.protocols import evaluate_protocol

        result = evaluate_protocol(_ready("evaluate"), protocol, split_seeds)
        show = terminal.protocol
    if as_json:
        _show("", pipeline.plain(result), True)
    else:
        show(result)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="An evaluated run: VERSION or PROTOCOL/VERSION.")],
    second: Annotated[str, typer.Argument(help="Another, on the same users and split.")],
    as_json: Json = False,
) -> None:
    """Compare two evaluated runs user by user: how much better is the second, and how surely?

    Each difference has a 95 % interval (paired bootstrap) and a p-value (sign-flip test).

    Example: `two-tower compare temporal/20260101_000000 temporal/20260108_000000`
    """
    from two_tower.evaluation.compare_runs import compare as compare_runs
    from two_tower.operations import pipeline

    result = compare_runs(_settings(), first, second)
    if as_json:
        _show("", pipeline.plain(result), True)
    else:
        terminal.comparison(result)


@app.command()
def export(version: Version = None, as_json: Json = False) -> None:
    """Export a trained model to ONNX and publish it, with its feature files, in the registry.

    Example: `two-tower export`
    """
    _step("export", as_json, version)


@app.command()
def embed(version: Version = None, as_json: Json = False) -> None:
    """Embed every user and video with a published model, into the landing tables.

    Example: `two-tower embed`
    """
    _step("embed", as_json, version)


@app.command()
def release(as_json: Json = False) -> None:
    """Audit the landed vectors and, if every test passes, let the app read them.

    Example: `two-tower release`
    """
    _step("release", as_json)


@app.command()
def releases(as_json: Json = False) -> None:
    """List the versions: which one serves, which were released or refused, and their figures.

    Example: `two-tower releases`
    """
    from two_tower.operations import pipeline
    from two_tower.serving.versions import releases as read_releases

    rows = read_releases(_settings())
    if as_json:
        _show("", [pipeline.plain(row) for row in rows], True)
    else:
        terminal.releases(rows)


@app.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="A version of the registry. Default: the release before.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a former release back, in the database and in the registry.

    The release before is exchanged in one transaction; an older one is embedded anew first.

    Example: `two-tower rollback`, or `two-tower rollback 20260101_000000`
    """
    _step("rollback", as_json, version)


@app.command("forget-user")
def forget_user(
    user_id: Annotated[str, typer.Argument(help="A reviewer_id.")], as_json: Json = False
) -> None:
    """Remove a person from the database, the registry and the runs, and keep them out.

    A salted hash of the id is recorded, so that the files the person's reviews came from bring
    nothing back. Build and train anew to take their reviews out of counts and weights.

    Example: `two-tower forget-user r00364274`
    """
    from two_tower.operations import pipeline
    from two_tower.operations.forget_user import forget

    result = forget(_ready("forget-user"), user_id)
    _show("Forgotten", pipeline.plain(result), as_json)
    if not result.rows and not result.files:
        terminal.notice("nothing was stored under this id", "check how it is written")


@app.command()
def refresh(as_json: Json = False) -> None:
    """Embed what is new or changed with the serving model, into the served tables.

    Load and `dbt build` first: the deployment daily-embeddings does all three.

    Example: `two-tower load && dbt build && two-tower refresh`
    """
    _step("refresh", as_json)


@app.command()
def run(
    deployment: Annotated[
        str | None,
        typer.Argument(help="Start this deployment on Prefect instead: weekly-two-tower, …"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Go the whole way: load, dbt build, train, evaluate, export, embed, release.

    A run that was cut short is gone on with: what is done already is not done again. Where there is
    too little to train on or to measure, it ends there, and what is popular is served.

    Example: `two-tower run`, or `two-tower run weekly-two-tower` on Prefect
    """
    from two_tower.operations import pipeline

    if deployment is not None:
        from two_tower.interfaces.prefect_deployments import start

        _show("Started", pipeline.plain(start(_settings(), deployment)), as_json)
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
        pipeline.run(_settings(), do, summaries)
    except NotEnoughDataError as error:
        # Nothing to mend: what is popular is served until there is more.
        terminal.notice(f"not enough data: {error}", error.hint)
    if as_json:
        _show("", summaries, True)


@app.command()
def alerts(
    url: Annotated[
        str, typer.Argument(help='Takes a POST of {"text": "…"}, as a webhook of Slack does.')
    ],
    as_json: Json = False,
) -> None:
    """Let the project's Prefect server call a webhook when a run goes wrong, or none has gone well.

    First the server sends a test message there. Type it again after a change of the URL or of
    automations.yaml: each alarm is there once.

    Example: `two-tower alerts https://hooks.example/T0/B0/x`
    """
    from two_tower.interfaces.prefect_alerts import create
    from two_tower.operations import pipeline

    _show("Alarms", pipeline.plain(create(_settings(), url)), as_json)


Filter = Annotated[
    str | None,
    typer.Option("--filter", metavar="JSON", help='As in {"maker": "m1", "price_max": 1000}.'),
]
Diversity = Annotated[
    float,
    typer.Option("--diversity", min=0, max=1, help="How much videos lose by being alike."),
]


@app.command()
def recommend(
    user_id: Annotated[str, typer.Argument(help="A reviewer_id, known or new.")],
    limit: Limit = 20,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also videos the user has reviewed.")
    ] = False,
    filter: Filter = None,
    diversity: Diversity = 0,
    as_json: Json = False,
) -> None:
    """Recommend videos for a user: what the app gets from recommend_videos().

    Example: `two-tower recommend r00364274 -k 5`
    """
    from two_tower.data import text_values
    from two_tower.serving.recommender import Recommender

    user_id = text_values.typed(user_id, "the id")
    with Recommender(_settings()) as recommender:
        rows = recommender.recommend(
            user_id, limit, not include_seen, filter=_filter(filter), diversity=diversity
        )
    _videos(f"Recommended for {user_id}", rows, as_json)


@app.command()
def similar(
    video_id: Annotated[str, typer.Argument(help="The id of a video.")],
    limit: Limit = 20,
    filter: Filter = None,
    diversity: Diversity = 0,
    as_json: Json = False,
) -> None:
    """List the videos most like one: what the app gets from similar_videos().

    Example: `two-tower similar 738a8344-047b-57a7-9ddc-b4fb57351bf8 -k 5`
    """
    from two_tower.data import text_values
    from two_tower.serving.recommender import Recommender

    video_id = text_values.typed(video_id, "the id")
    with Recommender(_settings()) as recommender:
        rows = recommender.similar(video_id, limit, filter=_filter(filter), diversity=diversity)
    _videos(f"Similar to {video_id}", rows, as_json)


def _filter(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{text!r} is no JSON: {error}", param_hint="--filter") from None


def _videos(title: str, rows: list[Any], as_json: bool) -> None:
    from two_tower.operations import pipeline

    if as_json:
        _show(title, [pipeline.plain(row) for row in rows], True)
    else:
        terminal.videos(title, rows)


@app.command()
def status(
    check: Annotated[
        bool, typer.Option("--check", help="Say how well it is: exit 0, 9 a warning, 10 critical.")
    ] = False,
    prometheus: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write metrics for node_exporter; - for stdout."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is loaded, trained and serving.

    For monitors: `--check` gives a verdict by thresholds (`TWO_TOWER_MONITOR__…`), `--prometheus`
    writes a file for node_exporter's textfile collector. See docs/monitoring.md.

    Example: `two-tower status`, or `two-tower status --check`
    """
    from two_tower.operations import pipeline

    if prometheus is not None and (check or as_json):
        raise typer.BadParameter("--prometheus is alone: --check and --json print something else")
    settings = _settings()
    if prometheus is not None:
        _write_metrics(settings, prometheus)
    elif check:
        _check(settings, as_json)
    else:
        from two_tower.operations.status import status as read_status

        _show("Status", pipeline.plain(read_status(settings)), as_json)


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
    from two_tower.operations import monitor
    from two_tower.operations.health import health

    found = monitor.verdicts(health(settings), settings.monitor, monitor.utc_now())
    if as_json:
        _show("", monitor.summary(found), True)
    else:
        terminal.verdicts(found)
    raise typer.Exit(monitor.exit_code(found))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at all that a run needs, and say what to type where something is missing.

    The server, its pgvector, what the role may do, the registry, the disks, Prefect: every check is
    made, and what a run depends on is looked at again when it begins. Exit 3 where something has to
    be mended, 4 where something did not answer.

    Example: `two-tower doctor`
    """
    from two_tower.core import checks
    from two_tower.operations.doctor import examine

    found = examine(_settings())
    if as_json:
        _show("", [check.as_dict() for check in found], True)
    else:
        terminal.checks(found)
    error = checks.refusal(found)
    if error is not None:
        raise typer.Exit(error.exit_code)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def dbt(context: typer.Context) -> None:
    """Run dbt with the project's settings, those exported in this shell included.

    A bare `dbt` reads profiles.yml, which has what `.env` says. This one also starts the embedded
    Postgres for every command. dbt's arguments and exit code are handed on.

    Example: `two-tower dbt -- source freshness`
    """
    from two_tower.database.dbt import hand_over

    hand_over(_settings(), context.args)


@db.command("start")
def db_start() -> None:
    """Start the embedded Postgres and print its URL.

    Example: `psql "$(two-tower db start)"`
    """
    from two_tower.database import embedded

    typer.echo(embedded.start(_settings()))


@db.command("stop")
def db_stop() -> None:
    """Stop the embedded Postgres. The data stays.

    Example: `two-tower db stop`
    """
    from two_tower.database import embedded

    typer.echo("stopped" if embedded.stop(_settings()) else "it was not running", err=True)


@db.command("url")
def db_url() -> None:
    """Print the URL of the embedded Postgres, running or not.

    Example: `export DATABASE_URL="$(two-tower db url)"`
    """
    from two_tower.database import embedded

    typer.echo(embedded.url(_settings()))


def main() -> None:
    """Run the command line."""
    guarded(_command_line)


def _command_line() -> None:
    code = app(standalone_mode=False)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    sys.exit(code or 0)
