import pickle

import numpy as np
import pytest
from scipy import sparse

from two_tower.model.linear_map import LinearMap, joined, on_the_sphere, reduced, spread

RNG = np.random.default_rng(7)
USERS = sparse.csr_array(np.hstack([RNG.random((80, 11)) < 0.4, np.ones((80, 1))]).astype(float))
KNOWN = np.arange(50) != 3


def random_map(rank, seed=0):
    rng = np.random.default_rng(seed)
    item = rng.normal(size=(50, rank)) * rng.gamma(0.5, size=(50, 1))
    item[~KNOWN] = 0
    return LinearMap(rng.normal(size=(12, rank)), item)


def scores(factors):
    return (USERS @ factors.user) @ factors.item.T


def test_a_sum_of_maps_scores_as_their_sum():
    one, other = random_map(4), random_map(6, seed=1)
    both = joined([(0.3, one), (0.7, other)])
    assert both.rank == 10
    np.testing.assert_allclose(scores(both), 0.3 * scores(one) + 0.7 * scores(other), atol=1e-12)


def test_the_spread_is_the_deviation_of_a_users_scores():
    factors = random_map(5)
    np.testing.assert_allclose(
        spread(factors, USERS, KNOWN), scores(factors)[:, KNOWN].std(axis=1), atol=1e-12
    )


def test_a_reduced_map_is_the_nearest_of_its_rank():
    factors = random_map(8)
    found = scores(reduced(factors, USERS, KNOWN, 3))[:, KNOWN]
    weights = spread(factors, USERS, KNOWN)[:, None]
    left, values, right = np.linalg.svd(scores(factors)[:, KNOWN] / weights, full_matrices=False)
    best = (left[:, :3] * values[:3]) @ right[:3] * weights
    np.testing.assert_allclose(found, best, atol=1e-9)


def test_a_rank_that_suffices_changes_nothing():
    factors = random_map(6)
    np.testing.assert_allclose(
        scores(reduced(factors, USERS, KNOWN, 9))[:, KNOWN], scores(factors)[:, KNOWN], atol=1e-9
    )


def test_on_the_sphere_every_video_has_length_1_and_the_order_is_the_same():
    factors = random_map(6)
    turned = on_the_sphere(factors, USERS, KNOWN)
    np.testing.assert_allclose(np.linalg.norm(turned.item[KNOWN], axis=1), 1)
    assert not turned.item[~KNOWN].any()
    before, after = scores(factors), scores(turned)
    scale = after[0, 0] / before[0, 0]
    assert scale > 0
    np.testing.assert_allclose(after, before * scale, atol=1e-9)


def mean_square(factors):
    """The users' mean square length where no video is longer than 1, every user's spread 1."""
    vectors = (USERS @ factors.user) / spread(factors, USERS, KNOWN)[:, None]
    longest = (factors.item[KNOWN] ** 2).sum(axis=1).max()
    return (vectors**2).sum(axis=1).mean() * longest


@pytest.mark.parametrize("seed", range(5))
def test_no_other_turn_gives_larger_cosines(seed):
    factors = random_map(6)
    turned = on_the_sphere(factors, USERS, KNOWN)
    best = mean_square(LinearMap(turned.user[:, :-1], turned.item[:, :-1]))
    turn = np.random.default_rng(seed).normal(size=(6, 6)) * (0.1 + seed)
    near = np.eye(6) + turn / 10
    for other in (np.eye(6), near, turn):
        for base in (factors, LinearMap(turned.user[:, :-1], turned.item[:, :-1])):
            moved = LinearMap(base.user @ np.linalg.inv(other), base.item @ other.T)
            # Its steps end within a twentieth of the optimum.
            assert mean_square(moved) > best * 0.95
    assert best < 0.7 * mean_square(factors)


def test_a_map_that_was_put_aside_is_the_same_map_without_its_empty_rows():
    """An expert of a hundred videos of a million takes no more room than a hundred."""
    item = np.zeros((100_000, 4))
    item[::1000] = np.random.default_rng(0).normal(size=(100, 4))
    whole = LinearMap(np.random.default_rng(1).normal(size=(12, 4)), item)
    packed = pickle.dumps(whole)
    again = pickle.loads(packed)
    np.testing.assert_array_equal(again.user, whole.user)
    np.testing.assert_array_equal(again.item, whole.item)
    assert len(packed) < 10_000
