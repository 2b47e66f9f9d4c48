"""Lists as tables with pictures, for notebooks: ``two_tower.show(recommender.recommend(…))``."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from two_tower.core.errors import InputError
from two_tower.interfaces import pictures
from two_tower.serving.answers import BecauseRow, Recommendation

Shown = Sequence[Recommendation] | Sequence[BecauseRow] | Mapping[str, Sequence[Recommendation]]

CELL = "padding:6px 12px 6px 0;text-align:left;vertical-align:middle"
NUMBER = "padding:6px 12px 6px 0;text-align:right;vertical-align:middle"
PICTURE = "display:block;width:128px;height:72px;object-fit:cover;border-radius:6px"


class Table:
    """Lists that a notebook shows as HTML; elsewhere they are lines of text."""

    def __init__(self, lists: Sequence[tuple[str, Sequence[Recommendation]]]) -> None:
        self._lists = lists

    def _repr_html_(self) -> str:
        return "".join(
            f"{f'<h4>{html.escape(title)}</h4>' if title else ''}{_table(videos)}"
            for title, videos in self._lists
        )

    def __repr__(self) -> str:
        lines = []
        for title, videos in self._lists:
            lines += [title] if title else []
            lines += [f"{v.rank:>3}  {v.score:6.3f}  {v.title or v.video_id}" for v in videos]
        return "\n".join(lines) or "no videos"


def show(recommendations: Shown) -> Table:
    """Return lists as a notebook shows them: pictures, titles, scores, sources.

    A picture is loaded from its `thumbnail_url`, by the notebook's browser; where a video has none
    on the web it is drawn.

    Args:
        recommendations: what a call of :class:`two_tower.recommend.Recommender` returns that lists
            videos: a list, the rows of `because_you_watched`, or those of `recommend_batch`.

    Raises:
        InputError: it is something else.
    """
    if isinstance(recommendations, Mapping):
        return Table([(f"For {user}", _videos(rows)) for user, rows in recommendations.items()])
    rows: list[object] = (
        list(recommendations) if isinstance(recommendations, Iterable) else [recommendations]
    )
    because = [row for row in rows if isinstance(row, BecauseRow)]
    if because and len(because) == len(rows):
        return Table([(f"Because of {row.title or row.video_id}", row.videos) for row in because])
    return Table([("", _videos(rows))])


def _videos(rows: Iterable[object]) -> list[Recommendation]:
    found = []
    for row in rows:
        if not isinstance(row, Recommendation):
            raise InputError(
                f"show() was given {type(row).__name__}",
                "give it a list of videos, such as recommender.recommend('r00364274')",
            )
        found.append(row)
    return found


def _table(videos: Sequence[Recommendation]) -> str:
    if not videos:
        return "<p>no videos</p>"
    columns = {"rank": NUMBER, "picture": CELL, "title": CELL, "score": NUMBER, "source": CELL}
    head = "".join(
        f'<th scope="col" style="{style}">{name}</th>' for name, style in columns.items()
    )
    body = "".join(map(_row, videos))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(video: Recommendation) -> str:
    picture = html.escape(pictures.of_url(video.thumbnail_url, video.title))
    title = html.escape(video.title or video.video_id)
    if (video.product_url or "").startswith(("https://", "http://")):
        page = html.escape(video.product_url or "")
        title = f'<a href="{page}" target="_blank" rel="noreferrer noopener">{title}</a>'
    image = (
        f'<img src="{picture}" alt="" loading="lazy" referrerpolicy="no-referrer"'
        f' style="{PICTURE}">'
    )
    return (
        f'<tr><td style="{NUMBER}">{video.rank}</td><td style="{CELL}">{image}</td>'
        f'<td style="{CELL}">{title}</td><td style="{NUMBER}">{video.score:.3f}</td>'
        f'<td style="{CELL}">{html.escape(video.source)}</td></tr>'
    )
