"""What everybody likes: the same for all users.

The towers learn little of it: on their sphere a video that everybody likes is no longer than
another. Of many videos with few reviews each, a list is better for some of it (ADR 25).
"""

from __future__ import annotations

import numpy as np

from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap
from two_tower.training.data.dataset import Data
from two_tower.training.experts import regression

name = "popularity"
weights: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)
least_gain = 0.0


def applies(config: TrainConfig, data: Data) -> bool:
    """Return whether some video was reviewed more often than another."""
    return len(np.unique(data.review_counts[data.known])) > 1


def fit(config: TrainConfig, data: Data) -> LinearMap | None:
    """Give each known video the logarithm of its reviews, in deviations from the mean."""
    counts = np.zeros(len(data.items))
    for part in regression.chunks(data, data.fitted):
        counts += np.bincount(part.items[~part.held], minlength=len(counts))
    scores = np.log1p(counts)
    scores -= scores[data.known].mean()
    scores[~data.known] = 0
    if not scores.any():
        return None
    user = np.zeros((data.layout.feature_dim("user") + 1, 1))
    user[-1] = 1
    return LinearMap(user, scores[:, None])
