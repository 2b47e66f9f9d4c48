"""Training examples: users with a part of their reviews hidden, to be found again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from two_tower.core.train_config import TrainConfig
from two_tower.model.layout import PAST_KINDS, Block, Layout
from two_tower.model.slots import Slots
from two_tower.training.data.dataset import Data, Items, UserRows


@dataclass(frozen=True)
class Batch:
    """Users as the model sees them, and the reviews it is to find."""

    slots: Slots  # the users' features; hidden reviews have value 0
    rows: NDArray[np.int64]  # the user of each target, [targets]
    items: NDArray[np.int64]  # its item number, [targets]
    weights: NDArray[np.float32]  # how much it counts, [targets]
    likes: NDArray[np.int64]  # all likes of the users as ``row * items + item``, rising
    shown_rows: NDArray[np.int64]  # the user of each review neither hidden nor held, [shown]
    shown_items: NDArray[np.int64]  # its item number, [shown]


def hide(data: Data, users: UserRows, hidden: NDArray[np.bool_]) -> Slots:
    """Return the users' slots, the value of reviews that are ``hidden``, bool ``[reviews]``, 0."""
    blocks = past_blocks(data.layout)
    width = 1 + max((block.width for block in blocks), default=0)
    index = data.items.identity[users.items]
    hideable = hidden & (index >= 0) & (index < width)
    gone = users.rows[hideable] * width + index[hideable]
    values = users.slots.values.copy()
    for block in blocks:
        place = users.slots.positions - block.offset
        inside = (place >= 0) & (place < block.width)
        values[inside] *= ~np.isin(users.slots.rows[inside] * width + place[inside], gone)
    return Slots(users.slots.positions, values, users.slots.offsets)


def hide_all_but_past(data: Data, users: UserRows, hidden: NDArray[np.bool_]) -> Slots:
    """Return the same with past videos and categories: the rest was counted with the hidden."""
    slots = hide(data, users, hidden)
    slots.values[~in_past(data.layout, slots)] = 0
    return slots


def past_blocks(layout: Layout) -> list[Block]:
    """Return the blocks that hold a user's past videos."""
    return [block for block in layout.user if block.kind in PAST_KINDS]


def in_past(layout: Layout, slots: Slots) -> NDArray[np.bool_]:
    """Return which slots of users lie in a block of past videos or categories, bool ``[slots]``.

    All do where a layout has no past videos: the rest is all that its model sees.
    """
    blocks = past_blocks(layout)
    places = np.full(layout.feature_dim("user"), not blocks)
    for block in (*blocks, *(each for each in layout.user if each.kind == "profile")):
        places[block.offset : block.offset + block.width] = True
    inside: NDArray[np.bool_] = places[slots.positions]
    return inside


def draw(
    data: Data,
    users: UserRows,
    weights: NDArray[np.float32],
    config: TrainConfig,
    rng: np.random.Generator,
) -> Batch:
    """Hide a random share of each user's reviews: they are the targets, where they have a weight.

    At least one like of each user is hidden, so that nobody is idle. Some users also lose all
    features but their past videos: those were counted with the hidden reviews, and a visitor with
    a few likes has none. Reviews that are held are hidden, and no targets. ``weights`` say how much
    each review counts as a target, float32 ``[reviews]``.
    """
    share = rng.uniform(*config.hidden_share, size=len(users))
    ticket = rng.random(len(users.items))
    liked = users.liked & ~users.held
    first = np.full(len(users), 2.0)
    np.minimum.at(first, users.rows[liked], ticket[liked])
    hidden = (ticket < share[users.rows]) | (liked & (ticket == first[users.rows]))
    target = hidden & ~users.held & (weights > 0)
    slots = hide(data, users, hidden | users.held)
    alone = rng.random(len(users)) < config.profile_dropout
    slots.values[~in_past(data.layout, slots) & alone[slots.rows]] = 0
    shown = ~(hidden | users.held)
    return Batch(
        slots,
        users.rows[target],
        users.items[target],
        weights[target],
        np.sort((users.rows * len(data.items) + users.items)[users.liked]),
        users.rows[shown],
        users.items[shown],
    )


def take_items(
    items: Items, numbers: NDArray[np.int64], drop: float, rng: np.random.Generator
) -> Slots:
    """Return the slots of some videos, int64 ``[n]``, a share of them, 0..1, without identity.

    A new video has no id that the model knows: its content has to be enough.
    """
    slots = items.slots.take(numbers)
    if drop:
        dropped = rng.random(len(numbers)) < drop
        slots.values[items.is_identity[slots.positions] & dropped[slots.rows]] = 0
    return slots
