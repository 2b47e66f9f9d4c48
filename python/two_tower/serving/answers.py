"""What the rows of the database's functions are to an app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from two_tower.core.errors import NotEnoughDataError

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Recommendation:
    """One video of a list, with what a page shows of it.

    Attributes:
        score: falls with the rank. The cosine of the vectors, -1 to 1, where ``source`` is not
            ``popular``.
        rank: from 1, or from ``offset + 1``.
        source: ``model`` (the user's vector), ``likes`` (that of videos that were named or liked)
            or ``popular``.
        release_id: of the release that answered; None before the first.
    """

    video_id: str
    score: float
    rank: int
    source: str
    release_id: int | None = None
    title: str | None = None
    thumbnail_url: str | None = None
    product_url: str | None = None


@dataclass(frozen=True)
class BecauseRow:
    """A row of a page: videos like one that the user liked lately."""

    video_id: str
    title: str | None
    videos: list[Recommendation] = field(default_factory=list)


@dataclass(frozen=True)
class SimilarUser:
    """A user by the cosine, -1 to 1, of their vector."""

    user_id: str
    score: float
    rank: int


@dataclass(frozen=True)
class Share:
    """What one thing that is known of a user adds to the score of a video.

    Attributes:
        feature: what it is known by: a liked video, a tag, a maker …
        token: the tag, the performer, the maker …
        video_id: the video, where it is one.
        share: all shares of an explanation add up to the score.
    """

    feature: str
    token: str | None
    video_id: str | None
    title: str | None
    share: float


_VIDEO = [column.name for column in fields(Recommendation)]


def video(row: Row) -> Recommendation:
    """Return the video of a row."""
    return Recommendation(
        **{name: row[name] for name in _VIDEO} | {"video_id": str(row["video_id"])}
    )


def videos(rows: Sequence[Row]) -> list[Recommendation]:
    """Return a list, by rank."""
    return [video(row) for row in sorted(rows, key=lambda row: row["rank"])]


def some_videos(rows: Sequence[Row]) -> list[Recommendation]:
    """Return a list that nothing bounds: it is never empty.

    Raises:
        NotEnoughDataError: there is no video yet.
    """
    if not rows:
        raise NotEnoughDataError(
            "there is no video to recommend", "load a catalogue and reviews, then run dbt build"
        )
    return videos(rows)


def because_rows(rows: Sequence[Row]) -> list[BecauseRow]:
    """Return the rows of a page."""
    found: dict[int, BecauseRow] = {}
    for row in sorted(rows, key=lambda row: (row["row_rank"], row["rank"])):
        because = BecauseRow(str(row["because_video_id"]), row["because_title"])
        found.setdefault(row["row_rank"], because).videos.append(video(row))
    return list(found.values())


def users(rows: Sequence[Row]) -> list[SimilarUser]:
    """Return users, by rank."""
    return [SimilarUser(row["user_id"], row["score"], row["rank"]) for row in rows]


def shares(rows: Sequence[Row]) -> list[Share]:
    """Return the shares of a score, the largest first."""
    return [
        Share(
            row["feature"],
            row["token"],
            None if row["video_id"] is None else str(row["video_id"]),
            row["title"],
            row["share"],
        )
        for row in rows
    ]


def only(rows: Sequence[Row]) -> int:
    """Return the one value of the one row."""
    (row,) = rows
    (value,) = row.values()
    return int(value)
