import numpy as np
import pytest
import torch

from two_tower.model.slots import Slots
from two_tower.training import losses
from two_tower.training.data.batches import Batch
from two_tower.training.losses import BinaryCrossEntropy, Softmax

USERS, ITEMS = 6, 40
RNG = np.random.default_rng(0)
VECTORS = torch.nn.functional.normalize(torch.from_numpy(RNG.normal(size=(ITEMS, 8))), dim=1)
PEOPLE = torch.nn.functional.normalize(torch.from_numpy(RNG.normal(size=(USERS, 8))), dim=1)
SEEN = np.arange(ITEMS) < 30
COUNTS = np.where(SEEN, np.arange(ITEMS) + 1, 0)
EMPTY = Slots(np.empty(0, np.int64), np.empty(0, np.float32), np.zeros(USERS + 1, np.int64))


def batch():
    rows, items = np.array([0, 0, 1, 4, 5]), np.array([3, 7, 3, 20, 29])
    weights = np.array([1, 0.8, 1, 1, 0.8], dtype=np.float32)
    shown = np.array([0, 0, 2, 4]), np.array([11, 25, 3, 0])
    return Batch(EMPTY, rows, items, weights, np.sort(rows * ITEMS + items), *shown)


def encode(numbers):
    return VECTORS[torch.from_numpy(numbers)]


def test_softmax_is_the_likelihood_among_the_videos_seen_in_training():
    loss = Softmax(COUNTS, temperature=0.2)(PEOPLE, encode, batch(), RNG)
    scores = np.exp((PEOPLE @ VECTORS.T).numpy() / 0.2)
    scores[:, ~SEEN] = 0
    scores[batch().shown_rows, batch().shown_items] = 0
    chance = scores / scores.sum(1, keepdims=True)
    one = batch()
    expected = -(one.weights * np.log(chance[one.rows, one.items])).sum() / one.weights.sum()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


class FixedScores:
    """Scores that are always the same."""

    scored = torch.from_numpy(np.random.default_rng(7).normal(size=(USERS, 30)))

    def scores(self, _batch, place, videos):
        assert place[SEEN].tolist() == list(range(videos))
        return self.scored.clone()


@pytest.mark.parametrize(("sample", "distilled"), [(None, None), (12, None), (None, FixedScores())])
def test_the_likelihood_and_its_way_back_are_those_of_torch(sample, distilled):
    """In double precision, with the likelihood written out."""
    people, vectors = (each.clone().requires_grad_() for each in (PEOPLE, VECTORS))
    loss = Softmax(COUNTS, 0.2, sample, distilled)
    one = batch()
    asked = []

    def encode(numbers):
        asked.append(numbers)
        return vectors[torch.from_numpy(numbers)]

    value = loss(people, encode, one, np.random.default_rng(3))
    value.backward()
    mine = [each.grad.clone() for each in (people, vectors)]
    people.grad = vectors.grad = None
    (chosen,) = asked
    logits = people @ vectors[torch.from_numpy(chosen)].T / 0.2
    if sample:
        logits = logits - torch.from_numpy(np.log(loss.inclusion(chosen, len(one.items))))
    column = {item: place for place, item in enumerate(chosen.tolist())}
    never = torch.zeros(logits.shape, dtype=torch.bool)
    for row, item in zip(one.shown_rows, one.shown_items, strict=True):
        if item in column:
            never[row, column[item]] = True
    chances = logits.masked_fill(never, -torch.inf).log_softmax(1)
    weights = torch.from_numpy(one.weights.astype(np.float64))
    found = chances[torch.from_numpy(one.rows), [column[item] for item in one.items.tolist()]]
    likelihood = (weights * found).sum()
    if distilled:
        likely = distilled.scored.masked_fill(never, -torch.inf).softmax(1)
        followed = (likely * chances.masked_fill(never, 0)).sum(1)
        of_people = torch.zeros(USERS, dtype=torch.float64)
        of_people.index_add_(0, torch.from_numpy(one.rows), weights)
        share = losses.DISTILLED_SHARE
        likelihood = (1 - share) * likelihood + share * (of_people @ followed)
    expected = -likelihood / weights.sum()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert never.any()
    for found, expected in zip(mine, (people.grad, vectors.grad), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_a_video_never_seen_in_training_is_not_pushed_away():
    vectors = VECTORS.clone().requires_grad_()
    loss = Softmax(COUNTS, 0.2)(PEOPLE, lambda n: vectors[torch.from_numpy(n)], batch(), RNG)
    loss.backward()
    assert not vectors.grad[~torch.from_numpy(SEEN)].any()
    assert vectors.grad[torch.from_numpy(SEEN)].any(dim=1).all()


def test_a_sample_as_large_as_the_catalogue_is_the_full_softmax():
    full = Softmax(COUNTS, 0.2)(PEOPLE, encode, batch(), RNG)
    sampled = Softmax(COUNTS, 0.2, sample=ITEMS)(PEOPLE, encode, batch(), RNG)
    assert float(sampled) == pytest.approx(float(full), rel=1e-5)


def test_the_correction_makes_the_sampled_sum_unbiased():
    """Mean over draws of sum(1 / chance) is the number of videos, however popular they are."""
    rng = np.random.default_rng(1)
    loss = Softmax(COUNTS, 0.2, sample=5)
    draws = []
    for _ in range(4000):
        targets = rng.choice(30, 6, p=loss.share)
        chosen = np.union1d(rng.choice(30, 5, replace=False), targets)
        draws.append((1 / loss.inclusion(chosen, 6)).sum())
    assert np.mean(draws) == pytest.approx(30, rel=0.02)


def test_bce_is_the_mean_over_positives_and_their_negatives():
    class Fixed:
        def choice(self, seen, shape):
            assert shape == (5, 2)
            assert seen.tolist() == list(range(30))
            return np.array([[7, 1], [2, 9], [3, 4], [5, 6], [8, 8]])

    loss = BinaryCrossEntropy(SEEN, negatives=2, scale=5)(PEOPLE, encode, batch(), Fixed())
    one = batch()
    cosines = 5 * (PEOPLE @ VECTORS.T).numpy()
    total = weight = 0.0
    for n, negatives in enumerate(Fixed().choice(np.flatnonzero(SEEN), (5, 2))):
        pairs = [(one.items[n], 1)] + [
            (item, 0) for item in negatives if (one.rows[n], item) not in {(0, 7), (0, 3), (1, 3)}
        ]
        for item, label in pairs:
            chance = 1 / (1 + np.exp(-cosines[one.rows[n], item]))
            total -= one.weights[n] * np.log(chance if label else 1 - chance)
            weight += one.weights[n]
    assert float(loss) == pytest.approx(total / weight, rel=1e-5)


def test_a_sampled_logit_is_corrected_by_the_log_of_its_chance():
    class Fixed:
        def choice(self, count, size, replace):
            assert (count, size, replace) == (30, 4, False)
            return np.array([0, 7, 11, 25])

    sampled = Softmax(COUNTS, 0.2, sample=4)
    one = batch()
    chosen = np.array([0, 3, 7, 11, 20, 25, 29])
    chance = 1 - (1 - COUNTS[chosen] / COUNTS.sum()) ** len(one.items) * (1 - 4 / 30)
    scores = np.exp((PEOPLE @ VECTORS[chosen].T).numpy() / 0.2) / chance
    for row, item in zip(one.shown_rows, one.shown_items, strict=True):
        scores[row, chosen == item] = 0
    share = scores / scores.sum(1, keepdims=True)
    places = np.searchsorted(chosen, one.items)
    expected = -(one.weights * np.log(share[one.rows, places])).sum() / one.weights.sum()
    assert float(sampled(PEOPLE, encode, one, Fixed())) == pytest.approx(expected, rel=1e-5)
