"""What an app may ask: one call of a function of the database each, and what its rows become.

Each function here is a method of :class:`two_tower.recommend.Recommender`, which makes the call and
returns the answer, and of :class:`two_tower.recommend.AsyncRecommender`, where it is awaited. The
SQL is in ``sql/functions``.

Everywhere a ``user_id`` is a reviewer_id and a ``video_id`` a UUID, as text or :class:`uuid.UUID`.
A ``limit`` is 0 to 1,000, an ``offset`` 0 to 10,000, a list of ids at most 10,000 long;
:class:`~two_tower.core.errors.InputError` says what was wrong. ``filter`` is a mapping by the keys
of docs/app.md, such as ``{"tags_any": ["12"], "price_max": 1000}``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from two_tower.serving import answers
from two_tower.serving import arguments as check
from two_tower.serving.answers import BecauseRow, Recommendation, Row, Share, SimilarUser
from two_tower.serving.arguments import Id

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """A call of a function in schema ``public``.

    Attributes:
        arguments: by name; the others have the function's defaults.
        read: makes the answer of the rows.
        instead: popular videos, where the function is missing or may not be called.
        writes: it must not be made twice.
    """

    function: str
    arguments: dict[str, Any]
    read: Callable[[Sequence[Row]], T]
    instead: Call[Any] | None = None
    writes: bool = False

    @property
    def sql(self) -> str:
        """The statement, with ``%(name)s`` for each argument."""
        named = (f"{name} => %({name})s" for name in self.arguments)
        return f"select * from public.{self.function}({', '.join(named)})"


def recommend(
    user_id: str,
    limit: int = 20,
    exclude_seen: bool = True,
    *,
    filter: Mapping[str, Any] | None = None,
    exclude: Iterable[Id] = (),
    diversity: float = 0,
    rotation: float = 0,
    offset: int = 0,
) -> Call[list[Recommendation]]:
    """Return the best videos for a user; popular ones for one of whom nothing is known.

    Args:
        user_id: a reviewer_id.
        limit: how many. There are fewer only where no more may be shown.
        exclude_seen: leave out what the user has reviewed, viewed, liked or bought.
        filter: what the videos have to be.
        exclude: videos to leave out.
        diversity: 0 to 1: how much a video loses by being like those above it.
        rotation: 0 to 1: how much a video loses by having been shown lately and not chosen.
        offset: how many to skip: the pages before this one.

    Raises:
        InputError: an argument is wrong.
        NotEnoughDataError: there is no video yet.
        UnavailableError: the database did not answer.
    """
    arguments: dict[str, Any] = {
        "p_user_id": check.text("user_id", user_id),
        "p_limit": check.whole("limit", limit, check.MAX_LIMIT),
        "p_exclude_seen": check.flag("exclude_seen", exclude_seen),
    }
    options = check.options(
        filter=filter, exclude=exclude, diversity=diversity, rotation=rotation, offset=offset
    )
    return _list("recommend_videos", arguments | options)


def recommend_for_likes(
    video_ids: Iterable[Id],
    limit: int = 20,
    exclude_seen: bool = True,
    *,
    filter: Mapping[str, Any] | None = None,
    exclude: Iterable[Id] = (),
    diversity: float = 0,
    offset: int = 0,
) -> Call[list[Recommendation]]:
    """Return the best videos for somebody who likes these and is in no table. Nothing is stored.

    Args:
        video_ids: what they like.
        limit: how many.
        exclude_seen: leave out ``video_ids``.
        filter: what the videos have to be.
        exclude: videos to leave out.
        diversity: 0 to 1: how much a video loses by being like those above it.
        offset: how many to skip.

    Raises:
        InputError: an argument is wrong.
        NotEnoughDataError: there is no video yet.
        UnavailableError: the database did not answer.
    """
    arguments: dict[str, Any] = {
        "p_video_ids": check.video_ids("video_ids", video_ids),
        "p_limit": check.whole("limit", limit, check.MAX_LIMIT),
        "p_exclude_seen": check.flag("exclude_seen", exclude_seen),
    }
    options = check.options(filter=filter, exclude=exclude, diversity=diversity, offset=offset)
    named = arguments["p_video_ids"] if exclude_seen else []
    return _list("recommend_for_likes", arguments | options, named)


def similar(
    video_id: Id,
    limit: int = 20,
    *,
    filter: Mapping[str, Any] | None = None,
    exclude: Iterable[Id] = (),
    diversity: float = 0,
    offset: int = 0,
    user_id: str | None = None,
) -> Call[list[Recommendation]]:
    """Return the videos nearest to one, without it; popular ones where nothing is known of it.

    Args:
        video_id: the video.
        limit: how many.
        filter: what the videos have to be.
        exclude: videos to leave out.
        diversity: 0 to 1: how much a video loses by being like those above it.
        offset: how many to skip.
        user_id: leave out what this user has seen.

    Raises:
        InputError: an argument is wrong.
        NotEnoughDataError: there is no video yet.
        UnavailableError: the database did not answer.
    """
    arguments: dict[str, Any] = {
        "p_video_id": check.video_id("video_id", video_id),
        "p_limit": check.whole("limit", limit, check.MAX_LIMIT),
    }
    options = check.options(filter=filter, exclude=exclude, diversity=diversity, offset=offset)
    if user_id is not None:
        options["p_user_id"] = check.text("user_id", user_id)
    return _list("similar_videos", arguments | options, [arguments["p_video_id"]])


def because_you_watched(user_id: str, rows: int = 3, per_row: int = 10) -> Call[list[BecauseRow]]:
    """Return rows of videos, each like one that the user liked lately, the last liked first.

    Args:
        user_id: a reviewer_id.
        rows: how many, 0 to 20. There are none for a user without likes.
        per_row: videos a row.

    Raises:
        InputError: an argument is wrong.
        UnavailableError: the database did not answer.
    """
    arguments: dict[str, Any] = {
        "p_user_id": check.text("user_id", user_id),
        "p_rows": check.whole("rows", rows, 20),
        "p_per_row": check.whole("per_row", per_row, check.MAX_LIMIT),
    }
    return Call("because_you_watched", arguments, answers.because_rows)


def rank(user_id: str, video_ids: Iterable[Id]) -> Call[list[Recommendation]]:
    """Return these videos in the order of a user's taste; of which nothing is known, last.

    Args:
        user_id: a reviewer_id.
        video_ids: at most 1,000. Those of no catalogue and hidden ones are left out.

    Raises:
        InputError: an argument is wrong.
        UnavailableError: the database did not answer.
    """
    ids = check.video_ids("video_ids", video_ids, check.MAX_LIMIT)
    arguments: dict[str, Any] = {"p_user_id": check.text("user_id", user_id), "p_video_ids": ids}
    popular = {"p_filter": check.as_json({"ids": ids}), "p_limit": len(ids)}
    instead = Call("popular_videos", popular, answers.videos)
    return Call("rank_videos", arguments, answers.videos, instead)


def similar_users(user_id: str, limit: int = 20) -> Call[list[SimilarUser]]:
    """Return the users whose taste is nearest to a user's; none where nothing is known of them.

    Raises:
        InputError: an argument is wrong.
        UnavailableError: the database did not answer.
    """
    arguments: dict[str, Any] = {
        "p_user_id": check.text("user_id", user_id),
        "p_limit": check.whole("limit", limit, check.MAX_LIMIT),
    }
    return Call("similar_users", arguments, answers.users)


def popular(
    window: str = "month",
    limit: int = 20,
    *,
    filter: Mapping[str, Any] | None = None,
    exclude: Iterable[Id] = (),
    offset: int = 0,
) -> Call[list[Recommendation]]:
    """Return the videos that were liked most.

    Args:
        window: ``day``, ``week``, ``month``, ``year`` or ``all``. A like of half a window ago
            counts half.
        limit: how many.
        filter: what the videos have to be.
        exclude: videos to leave out.
        offset: how many to skip.

    Raises:
        InputError: an argument is wrong.
        NotEnoughDataError: there is no video yet.
        UnavailableError: the database did not answer.
    """
    arguments: dict[str, Any] = {
        "p_window": check.text("window", window),
        "p_limit": check.whole("limit", limit, check.MAX_LIMIT),
    }
    options = check.options(filter=filter, exclude=exclude, offset=offset)
    return _list("popular_videos", arguments | options)


def new(
    limit: int = 20,
    *,
    filter: Mapping[str, Any] | None = None,
    exclude: Iterable[Id] = (),
    offset: int = 0,
) -> Call[list[Recommendation]]:
    """Return the videos that were released last. Arguments and errors are those of ``popular``."""
    arguments: dict[str, Any] = {"p_limit": check.whole("limit", limit, check.MAX_LIMIT)}
    return _list(
        "new_videos", arguments | check.options(filter=filter, exclude=exclude, offset=offset)
    )


def trending(
    limit: int = 20,
    *,
    filter: Mapping[str, Any] | None = None,
    exclude: Iterable[Id] = (),
    offset: int = 0,
) -> Call[list[Recommendation]]:
    """Return videos with more likes this week than in an average week of the four before.

    Arguments and errors are those of ``popular``.
    """
    arguments: dict[str, Any] = {"p_limit": check.whole("limit", limit, check.MAX_LIMIT)}
    return _list(
        "trending_videos", arguments | check.options(filter=filter, exclude=exclude, offset=offset)
    )


def explain(user_id: str, video_id: Id) -> Call[list[Share]]:
    """Return what the score of a video for a user is made of, the largest share first.

    Returns:
        Shares that add up to the score that ``recommend`` gives, but for boosts. None where nothing
        is known of the user or of the video.

    Raises:
        InputError: an argument is wrong.
        UnavailableError: the database did not answer.
    """
    arguments: dict[str, Any] = {
        "p_user_id": check.text("user_id", user_id),
        "p_video_id": check.video_id("video_id", video_id),
    }
    return Call("explain_recommendation", arguments, answers.shares)


def recommend_batch(
    user_ids: Iterable[str], limit: int = 20
) -> Call[dict[str, list[Recommendation]]]:
    """Return the lists of ``recommend`` for many users at once, for mails.

    Args:
        user_ids: at most 10,000.
        limit: videos a user, 0 to 100.

    Returns:
        A list for each user, by the id that was given.

    Raises:
        InputError: an argument is wrong.
        UnavailableError: the database did not answer.
    """
    ids = list(
        dict.fromkeys(
            check.text("user_ids", user_id) for user_id in check.listed("user_ids", user_ids)
        )
    )
    arguments: dict[str, Any] = {"p_user_ids": ids, "p_limit": check.whole("limit", limit, 100)}

    def read(rows: Sequence[Row]) -> dict[str, list[Recommendation]]:
        lists: dict[str, list[Recommendation]] = {user_id: [] for user_id in ids}
        for row in rows:
            lists[row["user_id"]].append(answers.video(row))
        return lists

    return Call("recommend_batch", arguments, read)


def record_event(
    video_id: Id, kind: str, *, user_id: str, weight: float | None = None
) -> Call[int]:
    """Store what a user did. The next list of theirs knows of it.

    Args:
        video_id: a video of the catalogue.
        kind: ``click``, ``view``, ``like``, ``dislike`` or ``purchase``.
        user_id: a reviewer_id, known or new.
        weight: 0 to 1: of a view the share that was watched.

    Returns:
        The id of the event.

    Raises:
        InputError: an argument is wrong.
        UnavailableError: the database did not answer. An event that may have been stored is not
            sent again.
    """
    arguments: dict[str, Any] = {
        "p_video_id": check.video_id("video_id", video_id),
        "p_kind": check.text("kind", kind),
        "p_user_id": check.text("user_id", user_id),
    }
    if weight is not None:
        arguments["p_weight"] = check.share("weight", weight)
    return Call("record_event", arguments, answers.only, writes=True)


def record_impressions(
    video_ids: Iterable[Id],
    *,
    user_id: str,
    release_id: int | None = None,
    source: str | None = None,
) -> Call[int]:
    """Store which videos a user was shown: one list, in its order. Rotation goes by it.

    Args:
        video_ids: of the catalogue, at most 10,000.
        user_id: a reviewer_id, known or new.
        release_id: the list's own.
        source: the list's own: ``model``, ``likes`` or ``popular``.

    Returns:
        How many were stored.

    Raises:
        InputError: an argument is wrong.
        UnavailableError: as ``record_event``.
    """
    arguments: dict[str, Any] = {
        "p_video_ids": check.video_ids("video_ids", video_ids),
        "p_user_id": check.text("user_id", user_id),
    }
    if release_id is not None:
        arguments["p_release_id"] = check.whole("release_id", release_id, 2**63 - 1)
    if source is not None:
        arguments["p_source"] = check.text("source", source)
    return Call("record_impressions", arguments, answers.only, writes=True)


def _list(
    function: str, arguments: dict[str, Any], named: Sequence[uuid.UUID] = ()
) -> Call[list[Recommendation]]:
    """Return the call of a list; popular videos without those it leaves out stand in for it."""
    of_popular = ("p_limit", "p_filter", "p_exclude", "p_offset")
    popular = {name: value for name, value in arguments.items() if name in of_popular}
    if named:
        popular["p_exclude"] = [*popular.get("p_exclude", ()), *named]
    instead = (
        None if function == "popular_videos" else Call("popular_videos", popular, answers.videos)
    )
    is_bounded = {"p_filter", "p_exclude", "p_offset"} & set(arguments)
    must_be = arguments["p_limit"] > 0 and not is_bounded and not named
    return Call(function, arguments, answers.some_videos if must_be else answers.videos, instead)
