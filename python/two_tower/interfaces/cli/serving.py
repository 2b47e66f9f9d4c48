"""Commands: what the app reads."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from two_tower.core import output
from two_tower.interfaces.cli import common

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def embed(
    version: common.Version = None,
    engine: common.OnEngine = None,
    as_json: common.Json = False,
) -> None:
    """Embed every user and video with a published model, into the landing tables.

    Example: `two-tower embed`
    """
    common.choose(engine)
    common.step("embed", as_json, version)


@commands.command()
def release(as_json: common.Json = False) -> None:
    """Audit the landed vectors and, if every test passes, let the app read them.

    Example: `two-tower release`
    """
    common.step("release", as_json)


@commands.command()
def releases(as_json: common.Json = False) -> None:
    """List the versions: which one serves, which were released or refused, and their figures.

    Example: `two-tower releases`
    """
    from two_tower.interfaces import terminal
    from two_tower.serving.versions import releases as read_releases

    rows = read_releases(common.settings())
    if as_json:
        common.show("", [output.plain(row) for row in rows], True)
    else:
        terminal.releases(rows)


@commands.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="A version of the registry. Default: the release before.")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Put a former release back, in the database and in the registry.

    The previous release is swapped in one transaction; an older one is embedded again first.

    Example: `two-tower rollback`, or `two-tower rollback 20260101_000000`
    """
    common.step("rollback", as_json, version)


@commands.command()
def refresh(as_json: common.Json = False) -> None:
    """Embed what is new or changed with the serving model, into the served tables.

    Load and `dbt build` first: the deployment daily-embeddings does all three.

    Example: `two-tower load && dbt build && two-tower refresh`
    """
    common.step("refresh", as_json)


Filter = Annotated[
    str | None,
    typer.Option("--filter", metavar="JSON", help='Such as {"maker": "m1", "price_max": 1000}.'),
]
Diversity = Annotated[
    float,
    typer.Option("--diversity", min=0, max=1, help="How much a video loses by being like another."),
]


@commands.command()
def recommend(
    user_id: Annotated[str, typer.Argument(help="A reviewer_id, known or new.")],
    limit: common.Limit = 20,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also videos the user has reviewed.")
    ] = False,
    filter: Filter = None,
    diversity: Diversity = 0,
    as_json: common.Json = False,
) -> None:
    """Recommend videos for a user: what the app gets from recommend_videos().

    Example: `two-tower recommend r00364274 -k 5`
    """
    from two_tower.data import text_values
    from two_tower.serving.recommender import Recommender

    user_id = text_values.typed(user_id, "the id")
    bounds = _filter(filter)
    with Recommender(common.settings()) as recommender:
        rows = recommender.recommend(
            user_id, limit, not include_seen, filter=bounds, diversity=diversity
        )
    _videos(f"Recommended for {user_id}", rows, as_json)


@commands.command()
def similar(
    video_id: Annotated[str, typer.Argument(help="The id of a video.")],
    limit: common.Limit = 20,
    filter: Filter = None,
    diversity: Diversity = 0,
    as_json: common.Json = False,
) -> None:
    """List the videos most like one: what the app gets from similar_videos().

    Example: `two-tower similar 738a8344-047b-57a7-9ddc-b4fb57351bf8 -k 5`
    """
    from two_tower.data import text_values
    from two_tower.serving.recommender import Recommender

    video_id = text_values.typed(video_id, "the id")
    bounds = _filter(filter)
    with Recommender(common.settings()) as recommender:
        rows = recommender.similar(video_id, limit, filter=bounds, diversity=diversity)
    _videos(f"Similar to {video_id}", rows, as_json)


def _filter(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{text} is not JSON: {error}", param_hint="--filter") from None


def _videos(title: str, rows: list[Any], as_json: bool) -> None:
    if as_json:
        common.show(title, [output.plain(row) for row in rows], True)
    else:
        from two_tower.interfaces import terminal

        terminal.videos(title, rows)
