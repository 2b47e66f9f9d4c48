"""The end of ``make demo``: three kinds of recommendations, and where everything is.

Run it alone with ``python -m two_tower.interfaces.demo``.
"""

from __future__ import annotations

from urllib.parse import quote

from rich.markup import escape

from two_tower.core.settings import Settings, read_settings
from two_tower.database import warehouse
from two_tower.database.dsn import target_dsn
from two_tower.interfaces import terminal
from two_tower.interfaces.failures import guarded
from two_tower.serving.recommender import Recommender


def tour() -> None:
    """Print recommendations for a known user, a new user and a video, then the next commands."""
    settings = read_settings()
    with warehouse.open_warehouse(settings) as database:
        known = database.fetch(
            "select user_id, review_count from two_tower.users"
            " order by like_count desc, user_id limit 1"
        )[0]
        favourites = database.fetch(
            "select cast(video_id as text) as video_id, title from two_tower.popularity"
            " join two_tower.videos using (video_id) order by popularity_rank limit 30"
        )[::10]
        video = favourites[0]

    with Recommender(settings) as recommender:
        terminal.videos(
            f"For {known['user_id']}, who has reviewed {known['review_count']} videos",
            recommender.recommend(known["user_id"], limit=5),
        )
        liked = [row["video_id"] for row in favourites]
        titles = " · ".join(row["title"] for row in favourites)
        terminal.videos(
            f"For somebody new who likes {titles} (nothing stored)",
            recommender.recommend_for_likes(liked, limit=5),
        )
        terminal.videos(
            f"Similar to {video['title']}", recommender.similar(video["video_id"], limit=5)
        )

    _where(settings)
    _next(known["user_id"])


def _where(settings: Settings) -> None:
    runs = settings.path(settings.runs_dir)
    reports = sorted(runs.glob("*/report.html"))
    terminal.summary(
        "Where everything is",
        {
            "database": target_dsn(settings) if settings.target == "embedded" else settings.target,
            "tables": "schemas two_tower (features, releases) and public (the vectors)",
            "model": f"{settings.registry_url}/models/two_tower_latest.onnx",
            "report": str(reports[-1]) if reports else "two-tower evaluate writes one",
        },
    )


def _next(user_id: str) -> None:
    terminal.stdout.print("[bold]Try next[/bold]")
    page = f"http://127.0.0.1:8000/#/person/{quote(user_id)}"
    for command in (
        f".venv/bin/two-tower recommend {user_id} -k 10",
        ".venv/bin/two-tower status",
        ".venv/bin/dbt docs generate && .venv/bin/dbt docs serve --host 127.0.0.1",
    ):
        terminal.stdout.print(f"  {escape(command)}", highlight=False, soft_wrap=True)
    terminal.stdout.print(
        "[bold]Look at it[/bold]: .venv/bin/two-tower serve, then", highlight=False
    )
    terminal.stdout.print(f"  {escape(page)}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    guarded(tour)
