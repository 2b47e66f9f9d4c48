"""Commands: train a model, measure it, publish it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from two_tower.core import output
from two_tower.interfaces.cli import common

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
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
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option(help="Where: auto is a GPU where there is one."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest interrupted run.")
    ] = False,
    engine: common.OnEngine = None,
    as_json: common.Json = False,
) -> None:
    """Train the towers on the feature tables that `dbt build` made.

    Every other setting of training is an environment variable, `TWO_TOWER_TRAIN__FIELD`.

    Example: `two-tower train --loss bce -K 5 --start random`
    """
    from two_tower.training.train import train as train_towers

    common.choose(engine)
    settings = common.ready("train")
    chosen: dict[str, object] = {"loss": loss, "negatives": negatives, "start": start}
    chosen |= {"features": features, "novelty": novelty, "epochs": epochs, "seed": seed}
    chosen |= {"device": device}
    given = {name: value for name, value in chosen.items() if value is not None}
    config = settings.train.changed(**given)
    common.show("Trained", output.plain(train_towers(settings, config, resume=resume)), as_json)


@commands.command()
def evaluate(
    version: common.Version = None,
    protocol: Annotated[
        Literal["random", "temporal", "cold-items", "cold-users"] | None,
        typer.Option(help="Split, build and train for it first, beside what is there."),
    ] = None,
    split_seeds: Annotated[
        list[str] | None,
        typer.Option("--split-seed", help="With --protocol; give it again for another split."),
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Measure a model on the held-out reviews, beside popularity and item-kNN.

    The figures, with 95 % intervals, go to evaluation_runs and evaluation_metrics, and into an HTML
    report with plots. What is measured, and how: docs/evaluation.md.

    A protocol trains a model of its own: random holds out a share of each user's reviews,
    temporal each user's last like, cold-items and cold-users a tenth of the videos or users.

    Example: `two-tower evaluate --protocol cold-items --split-seed a --split-seed b`
    """
    from two_tower.interfaces import terminal

    if protocol is None and split_seeds:
        raise typer.BadParameter("--split-seed needs --protocol: what is built has its split")
    if protocol is not None and version is not None:
        raise typer.BadParameter("--protocol trains its own model: leave --version out")
    if protocol is None:
        from two_tower.evaluation.evaluate import evaluate as evaluate_towers

        result: Any = evaluate_towers(common.ready("evaluate"), version)
        show: Callable[[Any], None] = terminal.evaluation
    else:
        from two_tower.operations.protocols import evaluate_protocol

        result = evaluate_protocol(common.ready("evaluate"), protocol, split_seeds)
        show = terminal.protocol
    if as_json:
        common.show("", output.plain(result), True)
    else:
        show(result)


@commands.command()
def compare(
    first: Annotated[str, typer.Argument(help="An evaluated run: VERSION or PROTOCOL/VERSION.")],
    second: Annotated[str, typer.Argument(help="Another, on the same users and split.")],
    as_json: common.Json = False,
) -> None:
    """Compare two evaluated runs user by user: how much better is the second, and how surely?

    Each difference has a 95 % interval (paired bootstrap) and a p-value (sign-flip test).

    Example: `two-tower compare temporal/20260101_000000 temporal/20260108_000000`
    """
    from two_tower.evaluation.compare_runs import compare as compare_runs
    from two_tower.interfaces import terminal

    result = compare_runs(common.settings(), first, second)
    if as_json:
        common.show("", output.plain(result), True)
    else:
        terminal.comparison(result)


@commands.command()
def export(version: common.Version = None, as_json: common.Json = False) -> None:
    """Export a trained model to ONNX and publish it, with its feature files, in the registry.

    Example: `two-tower export`
    """
    common.step("export", as_json, version)
