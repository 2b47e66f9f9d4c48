"""The experts as one pair of linear towers.

All are linear maps from a user's slots to scores. They are scaled alike, added, reduced in rank,
put on the sphere, and written back as the weights of two towers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import (
    LinearMap,
    design,
    encoder,
    joined,
    on_the_sphere,
    reduced,
    spread,
)
from two_tower.model.towers import Towers
from two_tower.training import cold_start, crowding, prior
from two_tower.training.cold_start_search import ColdStartTrial
from two_tower.training.data.batches import hide_all_but_past
from two_tower.training.data.dataset import Data
from two_tower.training.data.validation import METRIC, Lists, first_or_best, least_gain, validate
from two_tower.training.experts import Weighted, towers
from two_tower.training.experts.regression import MOST_LIKED, sample


@dataclass(frozen=True)
class Choice:
    """What validation chose."""

    # By name, the share of an expert beside those before it, 0..1: the first has the rest.
    weights: dict[str, float] = field(default_factory=lambda: {towers.name: towers.weights[0]})
    penalty: float = 30.0  # of the ridge from content to vectors
    boost: float = 1.0  # score multiplier of videos without reviews
    prior: float = 0.0  # size of what is known before the first like, a share of users' length

    def of(self, expert: str) -> float:
        """Return the share of an expert."""
        return self.weights.get(expert, 0.0)

    def with_weight(self, expert: str, weight: float) -> Choice:
        """Return the same with another share of an expert."""
        return replace(self, weights={**self.weights, expert: weight})


class Ensemble:
    """The experts that were fitted on ``data``, in the order in which their weights are chosen."""

    def __init__(
        self, config: TrainConfig, data: Data, parts: Sequence[tuple[Weighted, LinearMap]]
    ) -> None:
        self.config = config
        self.data = data
        self.known = data.known
        self.users = self._sample()
        self.found: dict[tuple[float, ...], dict[str, float]] = {}
        self.crowding: dict[str, float] = {}  # mean cosines of what was placed last, before the cut
        self.experts = [expert for expert, _ in parts]
        self.parts = {expert.name: self._scaled(part) for expert, part in parts}

    def _sample(self) -> sparse.csr_array:
        """Return the design of some users: as in validation, or as they are served."""
        data = self.data
        part = data.read(sample(data, 20_000, self.config.seed))
        if data.fold is None:
            return design(data.layout, part.slots)
        return design(data.layout, hide_all_but_past(data, part, part.held))

    def _scaled(self, part: LinearMap) -> LinearMap:
        size = float(spread(part, self.users, self.known).mean())
        return LinearMap(part.user / max(size, 1e-12), part.item)

    def at(self, choice: Choice) -> LinearMap:
        """Return the sum in these shares."""
        parts: list[tuple[float, LinearMap]] = []
        for name, part in self.parts.items():
            share = choice.of(name) if parts else 1.0
            parts = [*((weight * (1 - share), each) for weight, each in parts), (share, part)]
        summed = joined([(weight, part) for weight, part in parts if weight])
        if self.config.novelty:
            likes = (self.data.like_counts + 1.0) ** -self.config.novelty
            summed = LinearMap(summed.user, summed.item * likes[:, None])
        return summed

    def reduced(self, choice: Choice) -> LinearMap:
        """Return the sum at the rank that the embeddings have; the last column is the sphere's."""
        return reduced(self.at(choice), self.users, self.known, self.config.dim - 1)

    def choose_towers(
        self, rows: NDArray[np.int64], distilled: bool
    ) -> tuple[Choice, dict[str, float]]:
        """Choose the share of the towers by these users' validation likes; return its metrics too.

        Distilled towers have what EASE says: they are alone by default, and joined with it only
        where no metric loses by it (ADR 19).
        """
        weights = towers.weights if len(self.parts) > 1 else (1.0,)
        if distilled:
            weights = tuple(sorted(weights, key=lambda weight: weight != 1.0))
        choices = [Choice({towers.name: weight}) for weight in weights]
        found = [self._try(each, rows) for each in choices]
        values = [each[METRIC] for each in found]
        if distilled:
            is_no_worse = [all(each[name] >= found[0][name] for name in each) for each in found]
            values = [value * kept for value, kept in zip(values, is_no_worse, strict=True)]
        best = first_or_best(values, least_gain(len(rows)))
        return choices[best], found[best]

    def choose(self, choice: Choice, rows: NDArray[np.int64]) -> Choice:
        """Choose the share of each expert behind the towers by these users' validation likes.

        The default stays unless another gains more than chance.
        """
        names = [expert.name for expert in self.experts]
        for expert in self.experts[names.index(towers.name) + 1 :]:
            choices = [choice.with_weight(expert.name, weight) for weight in expert.weights]
            values = [self._try(each, rows)[METRIC] for each in choices]
            least = max(least_gain(len(rows)), expert.least_gain)
            choice = choices[first_or_best(values, least)]
        return choice

    def _try(self, choice: Choice, rows: NDArray[np.int64]) -> dict[str, float]:
        """Return the metrics of these shares; each is measured once, for the same users always."""
        key = tuple(choice.of(name) for name in self.parts)
        if key not in self.found:
            # Of few videos the low rank ranks as the sum does, and need not be found each time.
            is_small = int(self.known.sum()) <= MOST_LIKED
            part = self.at(choice) if is_small else self.reduced(choice)
            self.found[key] = self._validate(part, rows)
        return self.found[key]

    def _validate(self, part: LinearMap, rows: NDArray[np.int64]) -> dict[str, float]:
        encode, vectors = encoder(self.data.layout, part), _single(part.item)
        return validate(encode, vectors, self.data, rows, self.known)

    def choose_prior(self, choice: Choice, rows: NDArray[np.int64]) -> Choice:
        """Choose the size of what is known of users before their first like, by 1,000 users."""
        some = rows[:: 1 + len(rows) // 1_000]
        placed = on_the_sphere(self.reduced(choice), self.users, self.known)

        def measure(tried: LinearMap, few: int | None) -> float:
            encode, vectors = encoder(self.data.layout, tried), _single(tried.item)
            return validate(encode, vectors, self.data, some, self.known, few)[METRIC]

        found = prior.fit(self.config, self.data, placed)
        size = prior.choose(placed, found, self.users, measure, least_gain(len(some)))
        return replace(choice, prior=size)

    def choose_cold_start(self, choice: Choice, rows: NDArray[np.int64]) -> Choice:
        """Choose what content is worth in these shares: of up to 20,000 videos, by 1,000 users."""
        if len(self.data.items) > 20_000:
            return choice
        some = rows[:: 1 + len(rows) // 1_000]
        placed = self.placed(choice)
        lists = Lists(encoder(self.data.layout, placed), self.data, some)
        trial = ColdStartTrial(
            known_map=placed,
            content=cold_start.read_content(self.data.layout, self.data.items),
            known=self.known,
            weights=self.content_weights,
            validate=lambda vectors, ranked: lists.measure(_single(vectors), ranked)[METRIC],
            seed=self.config.seed,
        )
        found = trial.choose(self.config.new_item_budget)
        return replace(choice, penalty=found[0], boost=found[1]) if found else choice

    def placed(self, choice: Choice) -> LinearMap:
        """Return the sum at the width of the embeddings, all videos on the sphere, none crowded."""
        placed = on_the_sphere(self.reduced(choice), self.users, self.known)
        if choice.prior:
            found = prior.fit(self.config, self.data, placed)
            placed = prior.added(placed, found, self.users, choice.prior)
        self.crowding = crowding.measured(placed, self.users, self.known)
        placed = crowding.uncrowded(placed, self.users, self.known)
        empty = self.config.dim - placed.rank
        # In front: the last column stays the one in which no user has anything.
        return LinearMap(
            *(np.pad(part, ((0, 0), (empty, 0))) for part in (placed.user, placed.item))
        )

    @property
    def content_weights(self) -> NDArray[np.float64]:
        """How much each video counts for what content means, ``[items]``: the root of its likes."""
        return np.asarray(np.sqrt(self.data.like_counts + 1.0))

    def towers(self, choice: Choice) -> Towers:
        """Return the sum as towers, in which new videos are placed by their content."""
        data, placed = self.data, self.placed(choice)
        # Without transitions nobody need carry a block that means nothing.
        layout = data.layout if choice.of("transitions") else data.layout.without(("recency",))
        blocks = {block.feature_id: block.offset for block in data.layout.user}
        places = np.concatenate([blocks[b.feature_id] + np.arange(b.width) for b in layout.user])
        weight, bias = cold_start.complete(
            data, placed.item, self.known, self.content_weights, choice.penalty, choice.boost
        )
        found = Towers(layout, self.config.dim)
        with torch.no_grad():
            for name, values, constant in (
                ("user", placed.user[places], placed.user[-1]),
                ("item", weight, bias),
            ):
                tower = found.towers[name]
                tower.weight.copy_(_single(values))
                tower.bias.copy_(_single(constant))
        found.eval()
        return found


def _single(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
