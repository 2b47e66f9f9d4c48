"""The trained towers and the models without epochs as one pair of linear towers.

All are linear maps from a user's slots to scores. They are scaled alike, added, reduced to the
rank that fits, put on the sphere, and written back as the weights of two towers; what a video's
content says of its vector becomes the part of the item tower that a new video has too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.layout import Kind
from two_tower.model.linear_map import (
    Factors,
    design,
    encoder,
    joined,
    of_towers,
    on_the_sphere,
    reduced,
    spread,
)
from two_tower.model.towers import Towers, weigher
from two_tower.training.cold_start import place, read_content
from two_tower.training.cold_start_search import LEVEL, PENALTY, ContentTrial
from two_tower.training.data.batches import hide, in_past
from two_tower.training.data.dataset import VALIDATION_FOLD, Data
from two_tower.training.data.validation import Lists, least_gain, validate
from two_tower.training.experts.solver import MOST_LIKED, Solved

# Shares of the trained towers that are tried, of the sittings, and of the transitions. The first is
# taken unless another gains more than chance; for towers that were taught the last one is first.
# Where there is nobody to try on the trained towers count SHARE, and the others nothing.
SHARE = 0.8
SHARES = (SHARE, 0.0, 0.4, 0.6, 1.0)
SITTING_SHARES = (0.15, 0.0, 0.3)
TRANSITION_SHARES = (0.0, 0.2, 0.4, 0.6)
# Transitions have a block to themselves, of a slot a video, and have to be worth it.
LEAST_TRANSITION_GAIN = 0.01
# What content is worth is tried up to so many videos, on so many users at most.
MAX_TRIED_ITEMS = 20_000
MAX_TRIED_USERS = 1_000
# Users whose vectors say how maps are scaled, reduced and turned.
MAX_USERS = 20_000


@dataclass(frozen=True)
class Choice:
    """What validation chose.

    Attributes:
        share: of the trained towers beside the closed form, 0..1; the rest is the closed form's.
        sitting_share: of the sittings beside these two, 0..1.
        transition_share: of the transitions beside these three, 0..1.
        penalty: of the ridge from content to vectors.
        level: how far the scores of a video that only its content is known of are raised.
    """

    share: float = SHARE
    penalty: float = PENALTY
    level: float = LEVEL
    sitting_share: float = 0.0
    transition_share: float = 0.0


class Blend:
    """The maps of one phase of training, and what they are joined with.

    Args:
        config: the settings.
        data: the training data.
        towers: the trained towers; linear.
        solved: the models without epochs of the same phase.
        withhold: whether the validation fold is kept from all.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        towers: Towers,
        solved: Solved,
        withhold: bool,
    ) -> None:
        self.config = config
        self.data = data
        self.solved = solved
        self.known = data.seen & (data.items.identity >= 0)
        if not self.known.any():
            self.known = data.seen
        self.tower = weigher(data.layout, "user")
        self.item_tower = weigher(data.layout, "item")
        with torch.no_grad():
            vectors = towers.forward_sparse("item", data.items.slots).numpy().astype(np.float64)
        vectors[~self.known] = 0
        self.users = self._sample(withhold)
        self.found: dict[Choice, dict[str, float]] = {}
        trained = of_towers(towers, vectors, data.layout)
        both = [trained] if solved.closed is None else [solved.closed, trained]
        self.parts = [self._scaled(each) for each in both]
        self.sittings = solved.sittings and self._scaled(solved.sittings)
        self.transitions = solved.transitions and self._scaled(solved.transitions)

    def _sample(self, withhold: bool) -> sparse.csr_array:
        """Return the design of some users, as they are in validation or as they are served."""
        rows = self.data.search_likers if withhold else self.data.likers
        if len(rows) > MAX_USERS:
            rng = np.random.default_rng(self.config.seed)
            rows = np.sort(rng.choice(rows, MAX_USERS, replace=False))
        part = self.data.users.read(rows)
        slots = part.slots
        if withhold:
            slots = hide(self.data.layout, self.data.items, part, part.folds == VALIDATION_FOLD)
            slots.values[~in_past(self.data.layout, slots)] = 0
        return design(self.tower, slots)

    def _scaled(self, factors: Factors) -> Factors:
        size = float(spread(factors, self.users, self.known).mean())
        return Factors(factors.user / max(size, 1e-12), factors.item)

    def at(self, choice: Choice) -> Factors:
        """Return the sum in these shares."""
        both = [choice.share] if len(self.parts) == 1 else [1 - choice.share, choice.share]
        parts = [(weight, part) for weight, part in zip(both, self.parts, strict=True) if weight]
        parts = parts or [(1.0, self.parts[-1])]
        if choice.sitting_share:
            assert self.sittings is not None
            parts = _beside(parts, choice.sitting_share, self.sittings)
        if choice.transition_share:
            assert self.transitions is not None
            parts = _beside(parts, choice.transition_share, self.transitions)
        factors = joined(parts)
        if self.config.novelty:
            likes = (self.data.like_counts + 1.0) ** -self.config.novelty
            factors = Factors(factors.user, factors.item * likes[:, None])
        return factors

    def reduced(self, choice: Choice) -> Factors:
        """Return the sum at the rank that the embeddings have; the last column is the sphere's."""
        return reduced(self.at(choice), self.users, self.known, self.config.dim - 1)

    def choose(
        self, rows: NDArray[np.int64], metric: str, taught: bool
    ) -> tuple[float, dict[str, float]]:
        """Try all shares on these users' validation likes; return the best and its metrics."""
        shares = [1.0]
        if len(self.parts) > 1:
            shares = sorted(SHARES, key=lambda each: each != (1.0 if taught else SHARE))
        found = [self._try(Choice(share), rows) for share in shares]
        values = [each[metric] for each in found]
        if taught:
            # What the closed form says is in these towers: joined with it they must not lose by
            # any metric.
            is_no_worse = [all(each[name] >= found[0][name] for name in each) for each in found]
            values = [value * kept for value, kept in zip(values, is_no_worse, strict=True)]
        best = _first_or_best(values, least_gain(len(rows)))
        return shares[best], found[best]

    def try_sittings(self, choice: Choice, rows: NDArray[np.int64], metric: str) -> Choice:
        """Choose how much the sittings count beside these shares."""
        if self.sittings is None:
            return choice
        tried = [replace(choice, sitting_share=each) for each in SITTING_SHARES]
        return self._best(tried, least_gain(len(rows)), rows, metric)

    def try_transitions(self, choice: Choice, rows: NDArray[np.int64], metric: str) -> Choice:
        """Choose how much the transitions count beside these shares."""
        if self.transitions is None:
            return choice
        tried = [replace(choice, transition_share=each) for each in TRANSITION_SHARES]
        return self._best(tried, LEAST_TRANSITION_GAIN, rows, metric)

    def _best(
        self, choices: list[Choice], least: float, rows: NDArray[np.int64], metric: str
    ) -> Choice:
        """Return the first choice, or the best, if that gains so much."""
        found = [self._try(each, rows)[metric] for each in choices]
        return choices[_first_or_best(found, least)]

    def _try(self, choice: Choice, rows: NDArray[np.int64]) -> dict[str, float]:
        """Return the metrics of these shares; each is measured once, for the same users always."""
        if choice not in self.found:
            # Of few videos the low rank ranks as the sum does, and need not be found each time.
            is_small = int(self.known.sum()) <= MOST_LIKED
            factors = self.at(choice) if is_small else self.reduced(choice)
            self.found[choice] = self._validate(factors, rows)
        return self.found[choice]

    def try_content(self, choice: Choice, rows: NDArray[np.int64], metric: str) -> Choice:
        """Choose what content is worth in these shares."""
        if len(self.data.items) > MAX_TRIED_ITEMS:
            return choice
        some = rows[:: 1 + len(rows) // MAX_TRIED_USERS]
        factors = self._finished(choice)
        lists = Lists(encoder(self.tower, factors), self.data, some)
        trial = ContentTrial(
            factors=factors,
            content=read_content(self.data.layout, self.data.items, self.item_tower),
            known=self.known,
            weights=self._weights,
            validate=lambda vectors, ranked: lists.measure(_single(vectors), ranked)[metric],
            seed=self.config.seed,
        )
        penalty, level = trial.choose(self.config.freshness)
        return replace(choice, penalty=penalty, level=level)

    def _validate(self, factors: Factors, rows: NDArray[np.int64]) -> dict[str, float]:
        encode, vectors = encoder(self.tower, factors), _single(factors.item)
        found: dict[str, float] = validate(encode, vectors, self.data, rows, self.known)
        return found

    def _finished(self, choice: Choice) -> Factors:
        """Return the sum at the width of the embeddings, all videos on the sphere."""
        factors = on_the_sphere(self.reduced(choice), self.users, self.known)
        empty = self.config.dim - factors.rank
        return Factors(
            # In front: the last column stays the one in which no user has anything.
            *(np.pad(part, ((0, 0), (empty, 0))) for part in (factors.user, factors.item))
        )

    @property
    def _weights(self) -> NDArray[np.float64]:
        """How much each video counts for what content means, ``[items]``: the root of its likes."""
        return np.asarray(np.sqrt(self.data.like_counts + 1.0))

    def towers(self, choice: Choice) -> Towers:
        """Return the blend as towers."""
        data, factors = self.data, self._finished(choice)
        # Without transitions nobody need carry a block that means nothing.
        gone: tuple[Kind, ...] = () if choice.transition_share else ("recency",)
        layout = data.layout.without(gone)
        kept = [block for block in data.layout.user if block.kind not in gone]
        places = [np.arange(block.offset, block.offset + block.width) for block in kept]
        content = read_content(data.layout, data.items, self.item_tower)
        rows = np.flatnonzero(self.known)
        placing = place(content, factors.item, rows, self._weights[rows])(choice.penalty)
        placing = placing.at(choice.level, content, rows)
        weight = placing.weight / content.scale[:, None]
        bias = placing.mean - content.centre @ weight
        identity = data.items.identity
        own = rows[identity[rows] >= 0]
        offset = np.flatnonzero(data.items.is_identity)
        weight[offset[identity[own]]] = factors.item[own] - placing.of(content, own)
        towers = Towers(layout, self.config.dim)
        with torch.no_grad():
            for name, values, constant in (
                ("user", factors.user[np.concatenate(places)], factors.user[-1]),
                ("item", weight, bias),
            ):
                tower = towers.towers[name]
                tower.weight.copy_(torch.from_numpy(values.astype(np.float32)))
                tower.bias.copy_(torch.from_numpy(constant.astype(np.float32)))
        towers.eval()
        return towers


def _single(vectors: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(vectors.astype(np.float32))


def _first_or_best(found: list[float], least: float) -> int:
    """Return the place of the highest, if it is higher than the first by this share of it, or 0."""
    best = int(np.argmax(found))
    return best if found[best] > found[0] * (1 + least) else 0


def _beside(
    parts: list[tuple[float, Factors]], share: float, part: Factors
) -> list[tuple[float, Factors]]:
    """Return the weighted maps with one more, which has this share of the whole."""
    return [*((weight * (1 - share), each) for weight, each in parts), (share, part)]
