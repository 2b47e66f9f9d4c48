"""Training examples: users with a part of their reviews hidden, to be found again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from two_tower.model.layout import PAST_KINDS, Block, Layout
from two_tower.model.slots import Slots
from two_tower.training.data.dataset import Items, UserRows


@dataclass(frozen=True)
class Hiding:
    """What is hidden from the model at random.

    Attributes:
        share: of a user's reviews, drawn uniformly between these for each user.
        profile: share of users whose features are hidden but for their histories. Those others were
            counted with the hidden reviews, and a visitor with nothing but a few likes has none.
    """

    share: tuple[float, float]
    profile: float


@dataclass(frozen=True)
class Batch:
    """Users as the model sees them, and the reviews it is to find.

    Attributes:
        slots: the users' features, hidden reviews' slots set to zero.
        rows: the user of each target, int64 ``[targets]``.
        items: the hidden review's video, as an item number, int64 ``[targets]``.
        weights: how much it counts, float32 ``[targets]``.
        likes: all that the users like, as keys ``row * items + item``, int64, rising.
        shown_rows: the user of each review that is neither hidden nor held, int64 ``[shown]``.
        shown_items: its video, as an item number, int64 ``[shown]``.
    """

    slots: Slots
    rows: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float32]
    likes: NDArray[np.int64]
    shown_rows: NDArray[np.int64]
    shown_items: NDArray[np.int64]


def hide(layout: Layout, items: Items, users: UserRows, hidden: NDArray[np.bool_]) -> Slots:
    """Return the users' slots without the hidden reviews in any block of past videos.

    Args:
        layout: the model's layout.
        items: the catalogue, which maps a video to its index in the histories.
        users: the users.
        hidden: which reviews to hide, bool ``[reviews]``.
    """
    blocks = past_blocks(layout)
    width = 1 + max((block.width for block in blocks), default=0)
    gone = np.zeros(len(users) * width, dtype=np.bool_)
    index = items.identity[users.items]
    hideable = hidden & (index >= 0) & (index < width)
    gone[users.rows[hideable] * width + index[hideable]] = True
    values = users.slots.values.copy()
    for block in blocks:
        place = users.slots.positions - block.offset
        inside = (place >= 0) & (place < block.width)
        values[inside] *= ~gone[users.slots.rows[inside] * width + place[inside]]
    return Slots(users.slots.positions, values, users.slots.offsets)


def past_blocks(layout: Layout) -> list[Block]:
    """Return the blocks that hold a user's past videos."""
    return [block for block in layout.user if block.kind in PAST_KINDS]


def in_past(layout: Layout, slots: Slots) -> NDArray[np.bool_]:
    """Return which slots of users lie in a block of past videos, bool ``[slots]``.

    Where a layout has none all do: then the rest is all that a model sees.
    """
    blocks = past_blocks(layout)
    if not blocks:
        return np.ones(len(slots.positions), dtype=np.bool_)
    places = np.zeros(layout.feature_dim("user"), dtype=np.bool_)
    for block in blocks:
        places[block.offset : block.offset + block.width] = True
    inside: NDArray[np.bool_] = places[slots.positions]
    return inside


def draw(
    layout: Layout,
    items: Items,
    users: UserRows,
    weights: NDArray[np.float32],
    hiding: Hiding,
    rng: np.random.Generator,
) -> Batch:
    """Hide a random share of each user's reviews: they are the targets, where they have a weight.

    The share is drawn per user. At least one like of each user is hidden, so nobody is idle; users
    without a like that is not held may have no target.

    Args:
        layout: the model's layout.
        items: the catalogue.
        users: the users; reviews that are held are hidden, and no targets.
        weights: how much each review counts as a target, float32 ``[reviews]``.
        hiding: how much to hide.
        rng: the source of chance.
    """
    share = rng.uniform(*hiding.share, size=len(users))
    ticket = rng.random(len(users.items))
    liked = users.liked & ~users.held
    first = np.full(len(users), 2.0)
    np.minimum.at(first, users.rows[liked], ticket[liked])
    hidden = (ticket < share[users.rows]) | (liked & (ticket == first[users.rows]))
    target = hidden & ~users.held & (weights > 0)
    keys = users.rows * len(items) + users.items
    slots = hide(layout, items, users, hidden | users.held)
    alone = rng.random(len(users)) < hiding.profile
    slots.values[~in_past(layout, slots) & alone[slots.rows]] = 0
    shown = ~(hidden | users.held)
    return Batch(
        slots=slots,
        rows=users.rows[target],
        items=users.items[target],
        weights=weights[target],
        likes=np.sort(keys[users.liked]),
        shown_rows=users.rows[shown],
        shown_items=users.items[shown],
    )


def take_items(
    items: Items, numbers: NDArray[np.int64], drop: float, rng: np.random.Generator
) -> Slots:
    """Return the slots of some videos, a random share of them without their identity.

    A video without its own id is what a new one looks like: its content has to be enough.

    Args:
        items: the catalogue.
        numbers: item numbers, int64 ``[n]``.
        drop: the share in 0..1.
        rng: the source of chance.
    """
    slots = items.slots.take(numbers)
    if drop:
        dropped = rng.random(len(numbers)) < drop
        slots.values[items.is_identity[slots.positions] & dropped[slots.rows]] = 0
    return slots
