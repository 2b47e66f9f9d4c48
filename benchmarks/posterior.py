"""The posterior of users' tastes in generated data given their training reviews, by MCMC."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from two_tower.data.sample_data import tastes
from two_tower.data.sample_data.tastes import Users
from two_tower.data.sample_data.world import LATENT, World

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Seen(NamedTuple):
    """Training reviews: the user's row, the video, time from 0 (first) to 1 (last), 1..5 stars."""

    user: Ints
    video: Ints
    moment: Floats
    stars: Ints


class State(NamedTuple):
    """Tastes: three niches and three loved videos of each user, and the deviations from the mean.

    Attributes:
        niches, loved: int64 ``[3, users]``; a performer and the maker are those of the first loved
            video, a second performer that of the second, the series that of the third.
        deviation: deviation of the shares, float64 ``[users, 8]``.
        bias: bias of the stars, ``[users]``.
        latent: the user's own part of the latent vectors, ``[users, LATENT]``.
    """

    niches: Ints
    loved: Ints
    deviation: Floats
    bias: Floats
    latent: Floats


class Posterior:
    """Independent Markov chains of the tastes of all users, advanced together.

    Args:
        world: what is known of the catalogue.
        users: the users; only their moments and numbers of reviews are used, not their tastes.
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
        # Niches are proposed by the user's reviews of them.
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
        """Propose a change of each part of the state, with the likelihood to the given power."""
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
            # The log density of a gamma variable, over its logarithm.
            odds = tastes.SHARE_CONCENTRATION * step - (deviation - self.state.deviation)[:, of]
            self._propose(self.state._replace(deviation=deviation), odds, power)
        self._step("bias", 0.15, tastes.USER_BIAS, power)
        self._step("latent", 0.5, 1.0, power)

    def tastes(self, state: State | None = None) -> Users:
        """Return the users with the tastes of a state, by default the current one."""
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
        latent = tastes.mixed_latent(latent, state.latent)
        return replace(
            self.users,
            components=components,
            first=first,
            last=last,
            bias=state.bias,
            latent=latent,
        )

    def _likelihood(self, state: State) -> Floats:
        """Return the log likelihood of each user's reviews and their stars, ``[users]``.

        An approximation: draws are with replacement, and all videos are already released.
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
        """Return the log prior of the parts that are not proposed from their prior, ``[users]``."""
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
        """Propose a random-walk step of a normal variable."""
        before = getattr(self.state, name)
        after = before + step * spread * self.rng.normal(size=before.shape)
        odds = (before**2 - after**2) / (2 * spread**2)
        new = self.state._replace(**{name: after})
        self._propose(new, odds if odds.ndim == 1 else odds.sum(axis=1), power)

    def _with(self, niches: Ints, *changed: int) -> State:
        """Return the state with new niches; loved videos of the changed ones are redrawn."""
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
    """Return the log probabilities of a niche, and of a second niche given the first."""
    niches = world.size.niches
    mass = np.bincount(world.niche, world.popularity, minlength=niches)
    mass = mass / mass.sum()
    pairs = np.zeros((niches, niches))
    for niche in range(niches):
        chances = (1 - tastes.NEAR_SHARE) * mass
        for which in (0, 1):
            chances[tastes.near_niche(world, np.array(niche), which)] += tastes.NEAR_SHARE / 2
        pairs[niche] = np.where(mass > 0, chances, 0)
        pairs[niche, niche] += chances[mass == 0].sum()
    return np.log(np.maximum(mass, 1e-300)), np.log(np.maximum(pairs, 1e-300))


def log_chance(mean: Floats, stars: Ints) -> Floats:
    """Return the log probability of rounded stars; ``mean`` may have more dimensions."""

    def below(limit: Ints | Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp((mean - limit) / tastes.STARS_NOISE)))

    high = np.where(stars == 5, 1.0, below(stars + 0.5))
    low = np.where(stars == 1, 0.0, below(stars - 0.5))
    return np.log(high - low + 1e-12)
