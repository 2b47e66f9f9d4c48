"""How much of the oracle's quality the reviews of generated data can tell at all.

    python -m benchmarks.ceiling     # some minutes

The oracle of `two-tower sample-data` knows every user's tastes; a model has their training reviews.
This one has those too, and knows how the data are generated: each video's niche, performers, series
and maker, how users mix them, how stars come about. It samples users' tastes from their posterior
(Metropolis & Hastings 1970) and ranks by the mean of the true probability of a held-out like: what
Bayes' rule makes of these reviews. Once with the true popularity and quality of each video, and
once with the means of their posterior given the training reviews and all users' true tastes. No
model that has the reviews alone can be expected to find more.

A linear user tower finds less than Bayes' rule, which is not linear in the reviews. How much less
says the closed form of `two_tower.closed_form` at full rank, fitted on as many users as are sampled
and on 64 times as many of the same catalogue; of its penalties the best on the held-out likes.

Writes results/ceiling.json: metrics, and shares of the oracle's on the same split.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.harness import RESULTS
from two_tower.closed_form import USER_POWER, Sums, solve
from two_tower.progress import bar
from two_tower.sample_data import oracle, tastes
from two_tower.sample_data.tastes import Users
from two_tower.sample_data.world import LATENT, Size, World, build, components_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

REVIEWS = 60_000  # the default of `two-tower sample-data`
SEED = 7
RANKED_USERS = 1_000
# Sweeps before samples are taken, the likelihood rising over the first of them; then a sample every
# so many sweeps.
BURN_IN, RISING, APART = 300, 180, 5
# Users that the linear map is fitted on, at a time, and the penalties that it is fitted with.
FITTED_USERS, AT_A_TIME = (2_000, 128_000), 8_000
RIDGES = (20.0, 60.0, 200.0, 600.0, 2_000.0)
QUALITY = 0.35
QUALITIES = np.linspace(-1.4, 1.4, 57)


class Seen(NamedTuple):
    """Training reviews: the user's row, the video, 0..1 between first and last moment, 1..5."""

    user: Ints
    video: Ints
    moment: Floats
    stars: Ints


class State(NamedTuple):
    """Tastes: three niches and the three loved videos of each user, and what deviates.

    Attributes:
        niches, loved: int64 ``[3, users]``; a performer and the maker are those of the first loved
            video, a second performer that of the second, the series that of the third.
        deviation: of the shares, float64 ``[users, 8]``.
        bias: of the stars, ``[users]``.
        latent: noise in what moves them, ``[users, LATENT]``.
    """

    niches: Ints
    loved: Ints
    deviation: Floats
    bias: Floats
    latent: Floats


class Posterior:
    """A chain of tastes of all users at once, each its own; what is not known is ``users``' tastes.

    Args:
        world: what is known of the catalogue.
        users: of whom the moments and the number of reviews are known.
        seen: their training reviews.
        rng: draws the chain.
    """

    def __init__(self, world: World, users: Users, seen: Seen, rng: np.random.Generator) -> None:
        self.world, self.users, self.seen, self.rng = world, users, seen, rng
        parts = world.components
        sizes = np.diff(parts.starts)
        self.chances = np.zeros((len(sizes), world.size.videos))
        self.chances[np.repeat(np.arange(len(sizes)), sizes), parts.items] = parts.shares
        self.log_niche, self.log_pair = niche_chances(world)
        n, niches = len(users), world.size.niches
        # Niches are proposed that a user has reviews of.
        counts = np.zeros((n, niches))
        np.add.at(counts, (seen.user, world.niche[seen.video]), 1)
        wish = counts + 0.05 + 0.2 * niches * np.exp(self.log_niche)
        self.wish = wish / wish.sum(axis=1, keepdims=True)
        first = np.stack([self._niche() for _ in range(3)])
        self.state = State(
            first,
            np.stack([self._video(first[of]) for of in (0, 1, 0)]),
            rng.gamma(tastes.SHARE_CONCENTRATION, size=(n, len(tastes.FIRST_SHARES))),
            rng.normal(0.0, tastes.USER_BIAS, n),
            rng.normal(size=(n, LATENT)),
        )
        self.likelihood = self._likelihood(self.state)

    def sweep(self, power: float = 1.0) -> None:
        """Propose a change of each part of the state, the likelihood to this power."""
        for of in range(3):
            niches = self.state.niches.copy()
            niches[of] = self._niche()
            here = np.arange(len(self.users))
            odds = np.log(self.wish[here, self.state.niches[of]] / self.wish[here, niches[of]])
            self._propose(self._with(niches, of), odds, power)
        for one, other in ((1, 2), (0, 1)):
            niches = self.state.niches.copy()
            niches[[one, other]] = niches[[other, one]]
            self._propose(self._with(niches, one, other), 0.0, power)
        for of in (0, 1, 2) * 4:
            loved = self.state.loved.copy()
            loved[of] = self._video(self.state.niches[(0, 1, 0)[of]])
            self._propose(self.state._replace(loved=loved), 0.0, power)
        for of in range(self.state.deviation.shape[1]):
            step = 0.5 * self.rng.normal(size=len(self.users))
            deviation = self.state.deviation.copy()
            deviation[:, of] *= np.exp(step)
            # The density of a gamma variable, in its logarithm.
            odds = tastes.SHARE_CONCENTRATION * step - (deviation - self.state.deviation)[:, of]
            self._propose(self.state._replace(deviation=deviation), odds, power)
        self._step("bias", 0.15, tastes.USER_BIAS, power)
        self._step("latent", 0.5, 1.0, power)

    def tastes(self, state: State | None = None) -> Users:
        """Return the users with the tastes of a state, by default of the present one."""
        state = state or self.state
        world, parts = self.world, self.world.components
        niches = 1 + state.niches
        series = world.series[state.loved[2]]
        cast = world.first_performer[state.loved[:2]]
        components = np.column_stack(
            [
                np.zeros(len(self.users), np.int64),
                *niches,
                *np.where(cast >= 0, parts.performers + cast, niches[:2]),
                np.where(series >= 0, parts.series + series, niches[0]),
                parts.makers + world.maker[state.loved[0]],
            ]
        )
        first, last = (
            shares / shares.sum(axis=1, keepdims=True)
            for shares in (
                tastes.FIRST_SHARES * state.deviation,
                tastes.LAST_SHARES * state.deviation,
            )
        )
        latent = np.einsum("uk,kud->ud", last[:, 1:4], world.niche_latent[state.niches])
        latent = 1.5 * latent + 0.3 * state.latent / np.sqrt(LATENT)
        return replace(
            self.users,
            components=components,
            first=first,
            last=last,
            bias=state.bias,
            latent=latent,
        )

    def _likelihood(self, state: State) -> Floats:
        """Return the logarithm of the chance of each user's reviews and their stars, ``[users]``.

        As if a video could be drawn twice, and none were still to be released.
        """
        seen, users = self.seen, self.tastes(state)
        shares = (1 - seen.moment)[:, None] * users.first[seen.user]
        shares += seen.moment[:, None] * users.last[seen.user]
        chance = self.chances[users.components[seen.user], seen.video[:, None]]
        reviewed = np.log((shares * chance).sum(axis=1) + 1e-12)
        mean = tastes.mean_stars(self.world, users, seen.user, seen.video)
        found: Floats = np.bincount(
            seen.user, reviewed + log_chance(mean, seen.stars), minlength=len(users)
        )
        return found

    def _prior(self, state: State) -> Floats:
        """Return the logarithm of the prior of what is not proposed by its prior, ``[users]``."""
        home, second, third = state.niches
        pairs = self.log_pair[home, second] + self.log_pair[home, third]
        return np.asarray(self.log_niche[home] + pairs)

    def _propose(self, new: State, odds: Floats | float, power: float) -> None:
        likelihood = self._likelihood(new)
        gain = power * (likelihood - self.likelihood) + self._prior(new) - self._prior(self.state)
        taken = np.log(self.rng.random(len(self.users))) < gain + odds
        self.likelihood = np.where(taken, likelihood, self.likelihood)
        self.state = State(
            *(np.where(taken, one, other) for one, other in zip(new[:2], self.state, strict=False)),
            np.where(taken[:, None], new.deviation, self.state.deviation),
            np.where(taken, new.bias, self.state.bias),
            np.where(taken[:, None], new.latent, self.state.latent),
        )

    def _step(self, name: str, step: float, spread: float, power: float) -> None:
        """Propose a step of a normal variable."""
        before = getattr(self.state, name)
        after = before + step * spread * self.rng.normal(size=before.shape)
        odds = (before**2 - after**2) / (2 * spread**2)
        new = self.state._replace(**{name: after})
        self._propose(new, odds if odds.ndim == 1 else odds.sum(axis=1), power)

    def _with(self, niches: Ints, *changed: int) -> State:
        """Return the state with other niches, whose loved videos are drawn anew."""
        loved = self.state.loved.copy()
        for place, of in enumerate((0, 1, 0)):
            if of in changed:
                loved[place] = self._video(niches[of])
        return self.state._replace(niches=niches, loved=loved)

    def _niche(self) -> Ints:
        passed = self.wish.cumsum(axis=1) < self.rng.random((len(self.users), 1))
        return np.minimum(passed.sum(axis=1), self.world.size.niches - 1)

    def _video(self, niche: Ints) -> Ints:
        return self.world.components.draw(1 + niche, self.rng)


def niche_chances(world: World) -> tuple[Floats, Floats]:
    """Return the logarithms of the chance of a niche, and of a second one beside the first."""
    niches = world.size.niches
    mass = np.bincount(world.niche, world.popularity, minlength=niches)
    mass = mass / mass.sum()
    pairs = np.zeros((niches, niches))
    for niche in range(niches):
        near = [(niche * 7 + 3 + step) % niches for step in (0, 1)]
        for other, chance in [*((each, 0.85 / 2) for each in near), *enumerate(0.15 * mass)]:
            pairs[niche, other if mass[other] else niche] += chance
    return np.log(np.maximum(mass, 1e-300)), np.log(np.maximum(pairs, 1e-300))


def log_chance(mean: Floats, stars: Ints) -> Floats:
    """Return the logarithm of the chance of rounded stars; ``mean`` may have more dimensions."""

    def below(limit: Ints | Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp((mean - limit) / tastes.STARS_NOISE)))

    high = np.where(stars == 5, 1.0, below(stars + 0.5))
    low = np.where(stars == 1, 0.0, below(stars - 0.5))
    return np.log(high - low + 1e-12)


def estimated(world: World, users: Users, counts: Ints, seen: Seen) -> World:
    """Return the catalogue with the posterior means of popularity and quality.

    Given the training reviews, all users' true tastes, and how both are distributed. A video's
    number of reviews is taken as a Poisson variable.

    Args:
        world: the true one.
        users: all, with their true tastes.
        counts: reviews of each in all.
        seen: the training reviews of all.
    """
    expected = sum(
        oracle.inclusion(world, users, user, int(counts[user])) for user in range(len(users))
    )
    found = np.bincount(seen.video, minlength=world.size.videos)
    popularities = 1 / (np.arange(world.size.videos) + 8.0)
    inside = np.flatnonzero(world.popularity)
    rate = (1 - oracle.HELD_OUT) * np.asarray(expected)[inside] / world.popularity[inside]
    mean = rate[:, None] * popularities + 1e-300
    popularity = np.zeros(world.size.videos)
    popularity[inside] = _mean(found[inside, None] * np.log(mean) - mean, popularities)
    others = tastes.mean_stars(world, users, seen.user, seen.video) - world.quality[seen.video]
    chances = np.tile(-(QUALITIES**2) / (2 * QUALITY**2), (world.size.videos, 1))
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


def scored(world: World, users: Users, counts: Ints, seen: Seen, samples: int, note: str) -> Floats:
    """Return the posterior mean chance of a held-out like, ``[users, videos]``."""
    chain = Posterior(world, users, seen, np.random.default_rng(SEED))
    total = np.zeros((len(users), world.size.videos))
    with bar(note, BURN_IN + APART * samples) as shown:
        for number in range(1, BURN_IN + APART * samples + 1):
            chain.sweep(min(1.0, 0.2 + number / RISING))
            if number > BURN_IN and number % APART == 0:
                drawn = chain.tastes()
                for user in range(len(users)):
                    total[user] += oracle.scores(world, drawn, user, int(counts[user]))
            shown.advance(1)
    return total


def histories(seen: Seen, users: int, videos: int) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Return likes and reviews side by side, and reviews by relevance; rows have length 1."""

    def rows(values: Floats) -> sparse.csr_array:
        found = sparse.csr_array((values, (seen.user, seen.video)), shape=(users, videos))
        found.eliminate_zeros()
        norms = np.sqrt(found.power(2).sum(axis=1))
        return sparse.csr_array(sparse.diags_array(1 / np.where(norms > 0, norms, 1)) @ found)

    both = sparse.hstack([rows(1.0 * (seen.stars >= 4)), rows(np.ones(len(seen.user)))])
    return both.tocsr(), rows((seen.stars / 5) ** 2)


def linear(world: World, histories_of: sparse.csr_array, users: int) -> list[Floats]:
    """Return scores of these histories by the closed form of so many other users, by penalty."""
    rng = np.random.default_rng([SEED, users])
    videos = world.size.videos
    gram, cross, done = np.zeros((2 * videos, 2 * videos)), np.zeros((2 * videos, videos)), 0
    while done < users:
        some = min(AT_A_TIME, users - done)
        drawn = tastes.draw_users(world, np.resize(tastes.review_counts(world, rng), some), rng)
        reviews = tastes.draw_reviews(world, drawn, rng)
        kept = ~oracle.held_out(oracle.Witness(drawn, reviews), rng)
        columns = (reviews.user, reviews.video, reviews.at * 1.0, reviews.stars)
        inputs, targets = histories(Seen(*(column[kept] for column in columns)), some, videos)
        weights = np.bincount(reviews.user[kept], minlength=some)[:, None] ** USER_POWER
        weighted = (inputs * weights).T.tocsr()
        gram += (weighted @ inputs).toarray()
        cross += (weighted @ targets).toarray()
        done += some
    sums = Sums(gram, cross, np.ones(2))
    return [histories_of @ solve(sums, ridge, np.eye(videos)) for ridge in RIDGES]


def of_first(users: Users, n: int) -> Users:
    """Return the first ``n`` users."""
    return Users(*(getattr(users, name)[:n] for name in Users.__dataclass_fields__))


def measure(samples: int) -> dict[str, dict[str, float]]:
    """Return the metrics by what is known."""
    rng = np.random.default_rng(SEED)
    world = build(Size.of(REVIEWS), rng)
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
    some = of_first(users, RANKED_USERS)
    witness = oracle.Witness(
        some,
        tastes.Reviews(
            *(c[ranked] for c in (reviews.user, reviews.video, reviews.at, reviews.stars))
        ),
    )
    from_reviews = estimated(world, users, counts, everybody)
    known = {
        "tastes of the posterior": scored(world, some, counts, seen, samples, "true videos"),
        "popularity and quality too": scored(
            from_reviews, some, counts, seen, samples, "estimated videos"
        ),
    }
    own = list(oracle.asked(witness, held[ranked]))
    truth = {user: oracle.scores(world, some, user, count) for user, count, _, _ in own}

    def figures(scores: Floats | dict[int, Floats]) -> dict[str, float]:
        return oracle.means([oracle.metrics(scores[user], *rest) for user, _, *rest in own])

    found = {"oracle": figures(truth), **{name: figures(each) for name, each in known.items()}}
    past, _ = histories(seen, len(some), world.size.videos)
    for number in FITTED_USERS:
        tried = [figures(scores) for scores in linear(world, past, number)]
        found[f"linear, {number:,} users"] = max(tried, key=lambda each: each["ndcg@100"])
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=60, help="of the posterior")
    found = measure(parser.parse_args().samples)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ceiling.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{'':28}" + "".join(f"{name:>20}" for name in found["oracle"]))
    for name, metrics in found.items():
        cells = [f"{v:.4f} ({v / found['oracle'][m]:.1%})" for m, v in metrics.items()]
        print(f"{name:28}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
