import numpy as np
from test_blend import blend_of, data  # noqa: F401  a fixture

from two_tower.blend import Choice
from two_tower.content import read_content
from two_tower.content_trial import LEVELS, PENALTIES, ContentTrial
from two_tower.factors import Factors


class Judge:
    """Prefers low levels: lists lose a tenth of their quality for each unit that users gain."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, factors: Factors, ranked) -> float:
        others = np.setdiff1d(np.flatnonzero(ranked), self.rows)
        return 1 - 0.1 * float(np.abs(factors.item[others, :-1]).sum(axis=1).mean())


def trial_of(data, validate):  # noqa: F811
    blend = blend_of(data)
    return ContentTrial(
        blend._finished(Choice(0.5)),
        read_content(data.layout, data.items, blend.item_tower),
        blend.known,
        blend._weights,
        validate,
        0,
    )


def test_new_videos_may_cost_what_freshness_allows(data):  # noqa: F811
    chosen = [
        trial_of(data, Judge(np.arange(0))).choose(freshness)[1] for freshness in (0.0, 0.02, 0.9)
    ]
    assert chosen == sorted(chosen)
    assert chosen[0] == min(LEVELS), "any level above costs something"
    assert chosen[-1] == max(LEVELS)


def test_videos_that_nobody_has_reviewed_count_too(data):  # noqa: F811
    """The judge sees the 50 known videos only when the 10 unknown ones are not ranked."""
    unknown = np.arange(50, 60)

    def validate(factors: Factors, ranked) -> float:
        return Judge(np.arange(50))(factors, ranked) if ranked[unknown].any() else 1.0

    assert trial_of(data, validate).choose(0.01)[1] == min(LEVELS)
    assert trial_of(data, lambda factors, ranked: 1.0).choose(0.01)[1] == max(LEVELS)


def test_the_penalty_is_the_one_that_ranks_placed_videos_best(data):  # noqa: F811
    seen = []

    def validate(factors: Factors, ranked) -> float:
        seen.append(int(ranked.sum()))
        return float(len(seen) == 3)

    penalty, _ = trial_of(data, validate).choose(0.01)
    assert penalty == PENALTIES[2]
    assert max(seen[: len(PENALTIES)]) < 50, "ranked among themselves"
