"""The protocols: how the models' SQL splits (var ``split_strategy``), and what is then asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.quality.split import Split
from two_tower.core.errors import InputError

WARM_PEERS = (
    "popularity",
    "item_knn",
    "ease",
    "ease_all",
    "ials",
    "als",
    "bpr",
    "lightfm",
    "lightfm_features",
)
# Likes that a cold user is known by: the var cold_user_likes.
NEWCOMER_LIKES = (1, 3, 5)


@dataclass(frozen=True)
class Protocol:
    """One protocol.

    Attributes:
        title: what it asks, for people.
        check: whether the split is of the kind that the protocol is about.
        wanted: what the check wants, for people.
        peers: who can answer it.
        ranks_cold: the held-out videos are also ranked among themselves.
        asks_newcomers: the held-out users are asked for by some of their likes.
        strategy: the var ``split_strategy`` under which all models are trained, nothing held out:
            it says how the validation fold is cut, on which each chooses its settings.
    """

    title: str
    check: Callable[[Split], bool]
    wanted: str
    peers: tuple[str, ...] = WARM_PEERS
    ranks_cold: bool = False
    asks_newcomers: bool = False
    strategy: str = "random"

    def refuse_other(self, name: str, split: Split) -> None:
        """Refuse a split of another kind.

        Raises:
            InputError: it is.
        """
        if not len(split.held_users) or not self.check(split):
            raise InputError(
                f"var split_strategy: {name} does not give this protocol's split: {self.wanted}",
                "see macros/split/split_reviews.sql",
            )


def _every_user_trains(split: Split) -> bool:
    # Sets: numpy compares text with each user in turn, which takes minutes for a million reviews.
    return set(split.held_users) <= set(split.train_users)


def _videos_are_cold(split: Split) -> bool:
    return set(split.held_items).isdisjoint(split.train_items)


def _users_are_cold(split: Split) -> bool:
    return set(split.held_users).isdisjoint(split.train_users)


def _one_each(split: Split) -> bool:
    likers = split.held_users[split.held_liked]
    return len(np.unique(likers)) == len(likers)


PROTOCOLS = {
    "random": Protocol(
        "a fifth of each user's reviews held out",
        _every_user_trains,
        "every held-out user has training reviews",
    ),
    "cold_items": Protocol(
        "a tenth of the videos without any training review",
        _videos_are_cold,
        "no held-out video has a training review",
        ("random", "content_knn", "ease", "ease_all", "lightfm_features"),
        ranks_cold=True,
    ),
    "cold_users": Protocol(
        "users without any training review, known by a few likes",
        _users_are_cold,
        "no held-out user has a training review",
        ("popularity", "item_knn", "ease", "ease_all", "ials", "als"),
        asks_newcomers=True,
    ),
    "leave_last_out": Protocol(
        "each user's last like held out, and what came after it",
        _one_each,
        "one held-out like a user",
        strategy="temporal",
    ),
}
