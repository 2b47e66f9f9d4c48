"""How much of the oracle's quality can be learned from the reviews of generated data.

    python -m benchmarks.ceiling                                # some minutes
    python -m benchmarks.ceiling --reviews 2000 --sweeps 20     # a small world, in seconds

The oracle of `two-tower sample-data` knows every user's tastes; a model has their training reviews.
The Bayesian model here has those reviews too, and knows how the data are generated: each video's
niche, performers, series and maker, how users mix them, how stars come about. It samples users'
tastes from their posterior (Metropolis & Hastings 1970) and ranks by the posterior mean of the
probability of a held-out like. It runs once with the true popularity and quality of each video, and
once with their posterior means given the training reviews and all users' true tastes. A model that
has the reviews alone can hardly be expected to find more; more samples find a little more.

Bayes' rule is not linear in the reviews, and a trained model is not told the catalogue's structure.
EASE (`two_tower.training.experts.ease`) at full rank shows what one linear map reaches without
either, and what more users would give it. It is fitted on as many users as are sampled, and on 64
times as many of the same catalogue, with the penalty that is best on the held-out likes.

Writes results/ceiling.json: metrics, and shares of the oracle's on the same split.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.harness import result_file
from benchmarks.posterior import Posterior, Seen, log_chance
from two_tower.core.progress import bar
from two_tower.data.sample_data import oracle, tastes
from two_tower.data.sample_data.tastes import Users
from two_tower.data.sample_data.world import (
    QUALITY_SPREAD,
    Size,
    World,
    build,
    components_of,
    popularity_of,
)
from two_tower.training.experts.ease import USER_POWER, solve
from two_tower.training.experts.regression import Sums

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

REVIEWS = 60_000  # the default of `two-tower sample-data`
SEED = 7
RANKED_USERS = 1_000
# Burn-in sweeps, the first share of which anneals the likelihood's power up to 1; then the sweeps
# between two samples.
BURN_IN, RISING, APART = 300, 0.6, 5
# Users that the linear map is fitted on, as multiples of the sampled ones; how many are drawn at a
# time; the penalties that it is fitted with.
FITTED_TIMES, AT_A_TIME = (1, 64), 8_000
RIDGES = (20.0, 60.0, 200.0, 600.0, 2_000.0)
QUALITIES = np.linspace(-1.4, 1.4, 57)


def estimated(world: World, users: Users, counts: Ints, seen: Seen) -> World:
    """Return the catalogue with the posterior means of popularity and quality.

    Given the training reviews, all users' true tastes, and the prior of both. A video's number of
    reviews is assumed to be Poisson.

    Args:
        world: the true world.
        users: all users, with their true tastes.
        counts: number of all reviews of each user.
        seen: the training reviews of all users.
    """
    expected = sum(
        oracle.inclusion(world, users, user, int(counts[user])) for user in range(len(users))
    )
    found = np.bincount(seen.video, minlength=world.size.videos)
    popularities = popularity_of(np.arange(world.size.videos))
    inside = np.flatnonzero(world.popularity)
    rate = (1 - oracle.HELD_OUT) * np.asarray(expected)[inside] / world.popularity[inside]
    mean = rate[:, None] * popularities + 1e-300
    popularity = np.zeros(world.size.videos)
    popularity[inside] = _mean(found[inside, None] * np.log(mean) - mean, popularities)
    others = tastes.mean_stars(world, users, seen.user, seen.video) - world.quality[seen.video]
    chances = np.tile(-(QUALITIES**2) / (2 * QUALITY_SPREAD**2), (world.size.videos, 1))
    np.add.at(chances, seen.video, log_chance(others[:, None] + QUALITIES, seen.stars[:, None]))
    size = world.size
    return replace(
        world,
        popularity=popularity,
        quality=_mean(chances, QUALITIES),
        components=components_of(
            popularity,
            (world.niche, size.niches),
            (world.performer_video, world.performer, size.performers),
            (world.series, world.series_count),
            (world.maker, size.makers),
        ),
    )


def _mean(log_weights: Floats, values: Floats) -> Floats:
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return np.asarray(weights @ values / weights.sum(axis=1))


@dataclass(frozen=True)
class Chain:
    """The length of a chain: sweeps before the first sample, and number of samples."""

    burn_in: int
    samples: int


def scored(
    world: World, users: Users, counts: Ints, seen: Seen, length: Chain, note: str
) -> Floats:
    """Return the posterior mean probability of a held-out like, ``[users, videos]``."""
    chain = Posterior(world, users, seen, np.random.default_rng(SEED))
    total = np.zeros((len(users), world.size.videos))
    sweeps = length.burn_in + APART * length.samples
    with bar(note, sweeps) as shown:
        for number in range(1, sweeps + 1):
            chain.sweep(min(1.0, 0.2 + number / (RISING * length.burn_in)))
            if number > length.burn_in and number % APART == 0:
                drawn = chain.tastes()
                for user in range(len(users)):
                    total[user] += oracle.scores(world, drawn, user, int(counts[user]))
            shown.advance(1)
    return total


def histories(seen: Seen, users: int, videos: int) -> sparse.csr_array:
    """Return each user's reviews by their relevance, as rows of length 1."""
    relevances = (seen.stars / 5) ** 2
    found = sparse.csr_array((relevances, (seen.user, seen.video)), shape=(users, videos))
    norms = np.sqrt(found.power(2).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1 / np.where(norms > 0, norms, 1)) @ found)


def linear(world: World, histories_of: sparse.csr_array, users: int) -> list[Floats]:
    """Return, by penalty, the scores of these histories by EASE fitted on other users."""
    rng = np.random.default_rng([SEED, users])
    videos = world.size.videos
    gram, done = np.zeros((videos, videos)), 0
    while done < users:
        some = min(AT_A_TIME, users - done)
        drawn = tastes.draw_users(world, np.resize(tastes.review_counts(world, rng), some), rng)
        reviews = tastes.draw_reviews(world, drawn, rng)
        kept = ~oracle.held_out(oracle.Witness(drawn, reviews), rng)
        columns = (reviews.user, reviews.video, reviews.at * 1.0, reviews.stars)
        inputs = histories(Seen(*(column[kept] for column in columns)), some, videos)
        weights = np.bincount(reviews.user[kept], minlength=some)[:, None] ** USER_POWER
        gram += ((inputs * weights).T.tocsr() @ inputs).toarray()
        done += some
    sums = Sums(gram, gram)  # inputs and targets are the same reviews
    return [histories_of @ solve(sums, ridge, np.eye(videos)) for ridge in RIDGES]


def of_first(users: Users, n: int) -> Users:
    """Return the first ``n`` users."""
    return Users(*(getattr(users, name)[:n] for name in Users.__dataclass_fields__))


def measure(reviews_count: int, length: Chain) -> dict[str, dict[str, float]]:
    """Return the metrics of each model, by what it knows."""
    rng = np.random.default_rng(SEED)
    world = build(Size.of(reviews_count), rng)
    users = tastes.draw_users(world, tastes.review_counts(world, rng), rng)
    reviews = tastes.draw_reviews(world, users, rng)
    counts = np.bincount(reviews.user, minlength=len(users))
    held = oracle.held_out(oracle.Witness(users, reviews), rng)
    stay = np.maximum(users.left_at - users.joined_at, 1)
    moment = (reviews.at - users.joined_at[reviews.user]) / stay[reviews.user]
    columns = (reviews.user, reviews.video, moment, reviews.stars)
    everybody = Seen(*(column[~held] for column in columns))
    ranked = reviews.user < RANKED_USERS
    seen = Seen(*(column[ranked & ~held] for column in columns))
    some = of_first(users, min(RANKED_USERS, len(users)))
    witness = oracle.Witness(
        some,
        tastes.Reviews(
            *(c[ranked] for c in (reviews.user, reviews.video, reviews.at, reviews.stars))
        ),
    )
    from_reviews = estimated(world, users, counts, everybody)
    known = {
        "tastes of the posterior": scored(world, some, counts, seen, length, "true videos"),
        "popularity and quality too": scored(
            from_reviews, some, counts, seen, length, "estimated videos"
        ),
    }
    own = list(oracle.asked(witness, held[ranked]))
    truth = {user: oracle.scores(world, some, user, count) for user, count, _, _ in own}

    def figures(scores: Floats | dict[int, Floats]) -> dict[str, float]:
        return oracle.means([oracle.metrics(scores[user], *rest) for user, _, *rest in own])

    found = {"oracle": figures(truth), **{name: figures(each) for name, each in known.items()}}
    past = histories(seen, len(some), world.size.videos)
    for number in (len(users) * times for times in FITTED_TIMES):
        tried = [figures(scores) for scores in linear(world, past, number)]
        found[f"linear, {number:,} users"] = max(tried, key=lambda each: each["ndcg@100"])
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reviews", type=int, default=REVIEWS, help="of the generated world")
    parser.add_argument("--sweeps", type=int, default=BURN_IN, help="before the first sample")
    parser.add_argument("--samples", type=int, default=60, help="of the posterior")
    given = parser.parse_args()
    found = measure(given.reviews, Chain(given.sweeps, given.samples))
    text = json.dumps(found, indent=2) + "\n"
    result_file("ceiling.json").write_text(text, encoding="utf-8")
    print(f"{'':28}" + "".join(f"{name:>20}" for name in found["oracle"]))
    for name, metrics in found.items():
        cells = [f"{v:.4f} ({v / found['oracle'][m]:.1%})" for m, v in metrics.items()]
        print(f"{name:28}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
