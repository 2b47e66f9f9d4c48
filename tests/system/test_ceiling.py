"""The sampler of `benchmarks.ceiling`: its prior, what reviews tell it, and what it estimates."""

import numpy as np
import pytest
from benchmarks import ceiling
from benchmarks.posterior import Posterior, Seen, log_chance

from two_tower.data.sample_data import tastes
from two_tower.data.sample_data.world import Size, World, build

NOTHING = Seen(np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0, int))


@pytest.fixture(scope="module")
def world() -> World:
    return build(Size.of(6_000), np.random.default_rng(3))


def draw(world: World, count: int, users: int) -> tuple[tastes.Users, Seen]:
    rng = np.random.default_rng(4)
    people = tastes.draw_users(world, np.full(users, count), rng)
    reviews = tastes.draw_reviews(world, people, rng)
    stay = (people.left_at - people.joined_at)[reviews.user]
    moment = (reviews.at - people.joined_at[reviews.user]) / stay
    return people, Seen(reviews.user, reviews.video, moment, reviews.stars)


def test_without_reviews_the_posterior_is_the_prior(world: World) -> None:
    users, _ = draw(world, 3, 2_000)
    chain = Posterior(world, users, NOTHING, np.random.default_rng(0))
    for _ in range(60):
        chain.sweep()
    niches = world.size.niches
    for of in range(3):
        found = np.bincount(chain.state.niches[of], minlength=niches) / len(users)
        true = np.bincount(users.components[:, 1 + of] - 1, minlength=niches) / len(users)
        assert np.abs(found - true).max() < 0.04
    together = (chain.state.niches[0] == chain.state.niches[1]).mean()
    assert together == pytest.approx(
        (users.components[:, 1] == users.components[:, 2]).mean(), abs=0.04
    )
    assert chain.state.deviation.mean() == pytest.approx(tastes.SHARE_CONCENTRATION, rel=0.03)
    drawn = chain.tastes()
    assert drawn.first.mean(axis=0) == pytest.approx(users.first.mean(axis=0), abs=0.02)
    assert drawn.bias.std() == pytest.approx(tastes.USER_BIAS, abs=0.04)
    assert drawn.latent.std() == pytest.approx(users.latent.std(), rel=0.1)
    kinds = [
        np.unique(part.components[:, 4:] >= world.components.makers, axis=0)
        for part in (drawn, users)
    ]
    assert kinds[0].tolist() == kinds[1].tolist()


def test_reviews_tell_niches_and_bias(world: World) -> None:
    users, seen = draw(world, 40, 200)
    chain = Posterior(world, users, seen, np.random.default_rng(0))
    home, bias = np.zeros(len(users)), np.zeros(len(users))
    for number in range(200):
        chain.sweep(min(1.0, 0.2 + number / 80))
        if number >= 120:
            home += chain.state.niches[0] == users.components[:, 1] - 1
            bias += chain.state.bias
    assert home.mean() / 80 > 0.6
    assert np.corrcoef(bias, users.bias)[0, 1] > 0.6


def test_popularity_and_quality_are_estimated_from_reviews(world: World) -> None:
    users, seen = draw(world, 40, 400)
    found = ceiling.estimated(world, users, np.full(len(users), 40), seen)
    inside = world.popularity > 0
    assert not found.popularity[~inside].any()
    assert (
        np.corrcoef(np.log(found.popularity[inside]), np.log(world.popularity[inside]))[0, 1] > 0.9
    )
    assert np.corrcoef(found.quality[inside], world.quality[inside])[0, 1] > 0.7
    share = found.components.shares[: inside.sum()]
    assert share == pytest.approx(found.popularity[inside] / found.popularity.sum())


def test_stars_have_the_chances_that_they_are_drawn_with(world: World) -> None:
    mean = np.array([1.2, 3.4, 4.9])
    chances = np.exp([log_chance(mean, np.full(3, stars)) for stars in range(1, 6)])
    assert chances.sum(axis=0) == pytest.approx(1, abs=1e-9)
    assert chances[3:].sum(axis=0) == pytest.approx(tastes.like_probability(mean))


def test_what_reviews_tell_is_less_than_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ceiling, "RANKED_USERS", 100)
    monkeypatch.setattr(ceiling, "FITTED_TIMES", (1, 10))
    measured = ceiling.measure(6_000, ceiling.Chain(burn_in=60, samples=10))
    found = {name: each["ndcg@100"] for name, each in measured.items()}
    truth, tastes_only, both, few, many = found.values()
    assert 0.7 * truth < both < truth
    assert 0.7 * truth < tastes_only < truth
    assert few < many < truth
