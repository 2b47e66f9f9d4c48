"""The losses of a batch: of user vectors, a way to encode videos, and the targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from two_tower.model.fast_ops import NEVER, LogLikelihood
from two_tower.training.data.batches import Batch
from two_tower.training.experts.distillation import Distillation

EncodeItems = Callable[[NDArray[np.int64]], Tensor]

# The share of each user's weight that goes to the distilled scores (ADR 19).
DISTILLED_SHARE = 0.3


class Softmax:
    """Multinomial likelihood of a user's hidden reviews among all videos seen in training.

    The videos that the input shows are left out: nobody ranks these, and a user who has seen what
    everybody likes need not be told to want it less.

    With ``sample``, the videos are the batch's targets and so many drawn uniformly, each logit
    corrected by the log of its chance to be among them (log-Q: Yi et al., RecSys 2019), so that the
    sum stays an unbiased estimate of the full one.

    Args:
        counts: training reviews of each video, int64 ``[items]``; those without any are not ranked.
        temperature: cosines are divided by it.
        sample: uniform negatives a batch; ``None`` for all videos.
        distilled: what the towers follow beside the reviews, where all videos are ranked.
    """

    def __init__(
        self,
        counts: NDArray[np.int64],
        temperature: float,
        sample: int | None = None,
        distilled: Distillation | None = None,
    ) -> None:
        self.seen = np.flatnonzero(counts)
        self.share = counts[self.seen] / max(int(counts.sum()), 1)
        self.place = np.full(len(counts), -1, dtype=np.int64)
        self.place[self.seen] = np.arange(len(self.seen))
        self.temperature = temperature
        self.sample = None if sample is None else min(sample, len(self.seen))
        self.distilled = distilled

    def __call__(
        self, users: Tensor, encode: EncodeItems, batch: Batch, rng: np.random.Generator
    ) -> Tensor:
        """Return the mean loss of a target, the distilled part with it; a scalar.

        Args:
            users: unit vectors ``[users, dim]``.
            encode: turns item numbers into unit vectors ``[items, dim]``.
            batch: the targets.
            rng: the source of chance.
        """
        device = users.device
        targets, shown = self.place[batch.items], self.place[batch.shown_items]
        rows_of_shown = batch.shown_rows[shown >= 0]
        shown = shown[shown >= 0]
        logits_of = self.seen
        correction = None
        if self.sample is not None:
            chosen = rng.choice(len(self.seen), self.sample, replace=False)
            chosen = np.union1d(chosen, targets)
            chance = self.inclusion(chosen, len(targets))
            correction = torch.from_numpy(np.log(chance).astype(np.float32)).to(device)
            column = np.full(len(self.seen), -1, dtype=np.int64)
            column[chosen] = np.arange(len(chosen))
            targets, shown = column[targets], column[shown]
            logits_of = self.seen[chosen]
        inside = shown >= 0
        cells = torch.from_numpy(np.stack([rows_of_shown[inside], shown[inside]])).to(device)
        found = torch.from_numpy(np.stack([batch.rows, targets])).to(device)
        distilled = None
        if self.distilled is not None:
            distilled = self.distilled.scores(batch, self.place, len(self.seen)).to(device)
            distilled[cells[0], cells[1]] = NEVER
            distilled = distilled.softmax(1)
        likelihood: Tensor = LogLikelihood.apply(
            users / self.temperature,
            encode(logits_of),
            correction,
            cells,
            found,
            torch.from_numpy(batch.weights / batch.weights.sum()).to(device),
            distilled,
            DISTILLED_SHARE,
        )
        return -likelihood

    def inclusion(self, chosen: NDArray[np.int64], targets: int) -> NDArray[np.float64]:
        """Return the chance of each chosen video to be among the candidates, ``[chosen]``."""
        assert self.sample is not None
        as_target = (1 - self.share[chosen]) ** targets
        as_negative = 1 - self.sample / len(self.seen)
        return np.asarray(1 - as_target * as_negative)


class BinaryCrossEntropy:
    """The specification's loss: each hidden like against ``negatives`` videos drawn uniformly.

    Args:
        seen: videos with a review in training, bool ``[items]``.
        negatives: K, drawn a positive; one that the user likes does not count.
        scale: cosines are multiplied by it before the sigmoid.
    """

    def __init__(self, seen: NDArray[np.bool_], negatives: int, scale: float) -> None:
        self.seen = np.flatnonzero(seen)
        self.items = len(seen)
        self.negatives = negatives
        self.scale = scale

    def __call__(
        self, users: Tensor, encode: EncodeItems, batch: Batch, rng: np.random.Generator
    ) -> Tensor:
        """See :class:`Softmax`."""
        negatives = rng.choice(self.seen, (len(batch.items), self.negatives))
        keys = batch.rows[:, None] * self.items + negatives
        liked = np.isin(keys, batch.likes)
        numbers, places = np.unique(
            np.concatenate([batch.items[:, None], negatives], axis=1), return_inverse=True
        )
        weights = np.repeat(batch.weights[:, None], 1 + self.negatives, axis=1)
        weights[:, 1:] *= ~liked
        pairs, rows, factor = (
            torch.from_numpy(each).to(users.device)
            for each in (places.reshape(weights.shape), batch.rows, weights)
        )
        cosines = (users @ encode(numbers).T)[rows[:, None], pairs]
        labels = torch.zeros_like(cosines)
        labels[:, 0] = 1
        each = functional.binary_cross_entropy_with_logits(
            self.scale * cosines, labels, weight=factor, reduction="sum"
        )
        return each / factor.sum()
