"""The metrics, against figures worked out by hand and against a plain implementation."""

import math

import numpy as np
import pytest
from scipy import sparse

from two_tower.evaluation import metrics

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


def test_gini_is_the_mean_difference_of_two_videos() -> None:
    exposures = np.array([5, 0, 3, 12, 3])
    # sum |x_i - x_j| over pairs by (n - 1) sum x: 0 to 1 where one video has everything.
    pairs = sum(abs(int(x) - int(y)) for i, x in enumerate(exposures) for y in exposures[:i])
    assert metrics.gini(exposures) == pytest.approx(pairs / (4 * 23))
    assert metrics.gini(np.array([7, 7, 7])) == 0.0
    assert metrics.gini(np.array([0, 9, 0])) == 1.0
    assert metrics.gini(np.array([9])) is None
    assert metrics.gini(np.array([0, 0])) is None


def test_self_information_is_a_bit_for_half_the_users() -> None:
    reviews = np.array([16.0, 8.0, 1.0, 0.0])
    assert metrics.self_information(reviews, 16).tolist() == [0.0, 1.0, 4.0, 4.0]


TOKENS = 12


@pytest.fixture(scope="module")
def shown() -> tuple[list[list[int]], np.ndarray]:
    """Lists of 40 users, some short, one empty; the tokens of 30 videos, one of which has none."""
    rng = np.random.default_rng(3)
    tokens = (rng.random((30, TOKENS)) < 0.3).astype(float)
    tokens[4] = 0
    return [list(rng.permutation(30)[:size]) for size in (0, 1, 2, *[9] * 37)], tokens


def matrix(lists: list[list[int]]) -> sparse.csr_matrix:
    dense = np.zeros((len(lists), 30))
    for user, videos in enumerate(lists):
        dense[user, videos] = 1
    return sparse.csr_matrix(dense)


def test_list_means_equal_a_plain_mean(shown: tuple[list[list[int]], np.ndarray]) -> None:
    lists, tokens = shown
    found = metrics.list_means(matrix(lists), tokens[:, 0])
    assert np.isnan(found[0])
    assert found[1:] == pytest.approx([tokens[videos, 0].mean() for videos in lists[1:]])


def test_diversity_equals_a_loop_over_pairs(shown: tuple[list[list[int]], np.ndarray]) -> None:
    lists, tokens = shown
    norms = np.maximum(np.linalg.norm(tokens, axis=1), 1)[:, None]
    found = metrics.diversity(matrix(lists), sparse.csr_matrix(tokens / norms))
    assert np.isnan(found[:2]).all()
    for user, videos in enumerate(lists[2:], start=2):
        cosines = []
        for place, one in enumerate(videos):
            for other in videos[:place]:
                both = np.linalg.norm(tokens[one]) * np.linalg.norm(tokens[other])
                cosines.append(tokens[one] @ tokens[other] / both if both else 0.0)
        assert found[user] == pytest.approx(1 - np.mean(cosines))


def test_calibration_equals_a_loop_over_tokens(shown: tuple[list[list[int]], np.ndarray]) -> None:
    lists, tokens = shown
    even = tokens / np.maximum(tokens.sum(axis=1), 1)[:, None]
    likes = [list(row) for row in np.random.default_rng(4).permuted([range(30)] * 40, axis=1)]
    likes = [videos[: user % 6] for user, videos in enumerate(likes)]
    found = metrics.calibration(
        matrix(likes) @ sparse.csr_matrix(even), matrix(lists) @ sparse.csr_matrix(even)
    )
    for user in range(40):
        p, q = even[likes[user]].sum(axis=0), even[lists[user]].sum(axis=0)
        if not p.sum():
            assert np.isnan(found[user])
            continue
        p, q = p / p.sum(), q / max(q.sum(), 1e-12)
        terms = [x * math.log(x / (0.99 * y + 0.01 * x)) for x, y in zip(p, q, strict=True) if x]
        assert found[user] == pytest.approx(sum(terms))
    # A list of the very same make-up, and one that has none of it.
    row = sparse.csr_matrix(np.array([[0.5, 0.5, 0.0, 0.0]]))
    other = sparse.csr_matrix(np.array([[0.0, 0.0, 0.5, 0.5]]))
    assert metrics.calibration(row, 2 * row) == pytest.approx([0.0])
    assert metrics.calibration(row, other) == pytest.approx([math.log(100)])
