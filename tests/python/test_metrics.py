"""The metrics, against figures worked out by hand and against a plain implementation."""

import math

import numpy as np
import pytest

from two_tower import metrics

# Three users, five places. The first has 2 targets at places 1 and 3, the second 7 targets of which
# one is at place 2, the third one target that the list does not hold.
HITS = np.array(
    [[True, False, True, False, False], [False, True, False, False, False], [False] * 5],
)
TARGETS = np.array([2, 7, 1])


def test_recall_is_divided_by_what_fits() -> None:
    assert metrics.recall(HITS, TARGETS, 2).tolist() == [0.5, 0.5, 0.0]
    assert metrics.recall(HITS, TARGETS, 5).tolist() == [1.0, 0.2, 0.0]


def test_ndcg_by_hand() -> None:
    # DCG@5 of user 1: 1/log2(2) + 1/log2(4) = 1.5, ideal 1 + 1/log2(3) = 1.63093.
    assert metrics.ndcg(HITS, TARGETS, 5) == pytest.approx([0.91972, 0.21398, 0.0], abs=1e-5)
    # DCG@2: 1 of 1.63093 and 0.63093 of 1.63093.
    assert metrics.ndcg(HITS, TARGETS, 2) == pytest.approx([0.61315, 0.38685, 0.0], abs=1e-5)


def test_ndcg_of_a_list_shorter_than_k() -> None:
    # Six ideal places are not there: seven targets over ten places, one found at place 2.
    ideal = sum(1 / math.log2(place + 1) for place in range(1, 8))
    assert metrics.ndcg(HITS, TARGETS, 10)[1] == pytest.approx((1 / math.log2(3)) / ideal)


def test_reciprocal_rank_and_coverage() -> None:
    assert metrics.reciprocal_rank(np.array([1, 4, 50])).tolist() == [1.0, 0.25, 0.02]
    assert metrics.coverage(np.array([True, False, False, True])) == 0.5
    assert metrics.coverage(np.array([], dtype=bool)) == 0.0


def test_popularity_lift_is_relative_to_what_users_consumed() -> None:
    consumed = np.array([0.1, 0.3, np.nan])
    assert metrics.popularity_lift(np.array([0.3, 0.5, 9.0]), consumed) == pytest.approx(1.0)
    assert metrics.popularity_lift(np.array([0.1, 0.1, 9.0]), consumed) == pytest.approx(-0.5)
    assert metrics.popularity_lift(np.array([0.1]), np.array([np.nan])) is None


@pytest.mark.parametrize("k", [1, 10, 20, 100])
def test_metrics_equal_a_plain_implementation(k: int) -> None:
    rng = np.random.default_rng(5)
    hits = rng.random((40, 60)) < 0.1
    targets = hits.sum(axis=1) + rng.integers(1, 30, 40)
    for user in range(40):
        found = [place for place in range(1, min(k, 60) + 1) if hits[user, place - 1]]
        fitting = min(k, int(targets[user]))
        dcg = sum(1 / math.log2(place + 1) for place in found)
        ideal = sum(1 / math.log2(place + 1) for place in range(1, fitting + 1))
        assert metrics.recall(hits, targets, k)[user] == pytest.approx(len(found) / fitting)
        assert metrics.ndcg(hits, targets, k)[user] == pytest.approx(dcg / ideal)
