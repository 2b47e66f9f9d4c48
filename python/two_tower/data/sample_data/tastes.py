"""Users: their tastes, when they are active, and the reviews that follow."""

from dataclasses import dataclass

import numpy as np

from two_tower.data.sample_data.world import BEGIN, DAY, END, LATENT, Floats, Ints, World

# The components a user mixes: everything, three niches, two performers, a series, a maker; how much
# of each at the first review and at the last one. The third niche is where a taste drifts to.
FIRST_SHARES = np.array([0.14, 0.44, 0.18, 0.00, 0.09, 0.04, 0.08, 0.03])
LAST_SHARES = np.array([0.14, 0.30, 0.14, 0.18, 0.09, 0.04, 0.08, 0.03])
SHARE_CONCENTRATION = 6.0

MIN_REVIEWS = 3
MEAN_STARS = 3.55
STARS_NOISE = 0.42  # scale of a logistic distribution
USER_BIAS = 0.35
TASTE_STRENGTH = 1.1
# The probability that a second niche is one of the two related to the first; else it is any other.
NEAR_SHARE = 0.85
# The parts of a user's latent vector, which moves the stars: from the niches, and the user's own.
LATENT_OF_NICHES, LATENT_OWN = 1.5, 0.3


@dataclass(frozen=True)
class Users:
    """A chunk of users.

    Attributes:
        components: int64 [users, 8], indices into :class:`Components`.
        first, last: float64 [users, 8], the mixture at the first and at the last review.
        joined_at, left_at: seconds; reviews are spread evenly between them.
        counts: number of reviews that each user writes.
        bias, latent: bias and latent vector for the stars; float64 [users], [users, LATENT].
    """

    components: Ints
    first: Floats
    last: Floats
    joined_at: Ints
    left_at: Ints
    counts: Ints
    bias: Floats
    latent: Floats

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class Reviews:
    """Parallel arrays: the user's row in their chunk (rising), the video, seconds, 1..5 stars."""

    user: Ints
    video: Ints
    at: Ints
    stars: Ints


def review_counts(world: World, rng: np.random.Generator) -> Ints:
    """Return the number of reviews of each user: heavy-tailed, at least 3, with the given sum."""
    size = world.size
    most = max(MIN_REVIEWS + 1, min(800, int((world.popularity > 0).sum()) // 5))
    wish = np.minimum(rng.pareto(1.6, size.reviewers) + 0.2, 60.0)
    low, high = 0.0, 10_000.0
    for _ in range(60):  # bisects for the scale that gives the sum
        scale = (low + high) / 2
        counts = np.clip((wish * scale).astype(np.int64) + MIN_REVIEWS, MIN_REVIEWS, most)
        low, high = (scale, high) if counts.sum() < size.reviews else (low, scale)
    missing = size.reviews - int(counts.sum())
    room = np.flatnonzero(counts < most if missing > 0 else counts > MIN_REVIEWS)
    counts[room[: abs(missing)]] += np.sign(missing)
    return counts


def draw_users(world: World, counts: Ints, rng: np.random.Generator) -> Users:
    """Draw the tastes of a chunk of users."""
    n = len(counts)
    parts = world.components
    home = parts.draw(np.zeros(n, np.int64), rng)
    niche = world.niche[home]
    second = _neighbour(world, niche, rng)
    third = _neighbour(world, niche, rng)
    loved = [parts.draw(1 + niche, rng), parts.draw(1 + second, rng), parts.draw(1 + niche, rng)]
    series = world.series[loved[2]]
    cast = [world.first_performer[video] for video in loved[:2]]
    components = np.column_stack(
        [
            np.zeros(n, np.int64),
            1 + niche,
            1 + second,
            1 + third,
            np.where(cast[0] >= 0, parts.performers + cast[0], 1 + niche),
            np.where(cast[1] >= 0, parts.performers + cast[1], 1 + second),
            np.where(series >= 0, parts.series + series, 1 + niche),
            parts.makers + world.maker[loved[0]],
        ]
    )
    deviation = rng.gamma(SHARE_CONCENTRATION, size=(n, len(FIRST_SHARES)))
    first, last = FIRST_SHARES * deviation, LAST_SHARES * deviation
    first, last = _normalised(first), _normalised(last)
    joined_at, left_at = _stay(n, rng)
    latent = np.einsum("uk,ukd->ud", last[:, 1:4], world.niche_latent[components[:, 1:4] - 1])
    return Users(
        components=components,
        first=first,
        last=last,
        joined_at=joined_at,
        left_at=left_at,
        counts=counts,
        bias=rng.normal(0.0, USER_BIAS, n),
        latent=mixed_latent(latent, rng.normal(size=(n, LATENT))),
    )


def mixed_latent(of_niches: Floats, own: Floats) -> Floats:
    """Return the latent vectors of users, ``[users, LATENT]``; ``own`` is standard normal."""
    return np.asarray(LATENT_OF_NICHES * of_niches + LATENT_OWN * own / np.sqrt(LATENT))


def near_niche(world: World, niche: Ints, which: Ints | int) -> Ints:
    """Return the first (0) or the second (1) niche that is related to a niche."""
    return np.asarray((niche * 7 + 3 + which) % world.size.niches)


def _neighbour(world: World, niche: Ints, rng: np.random.Generator) -> Ints:
    """Return another niche for each: mostly one of its two related ones, sometimes any."""
    near = near_niche(world, niche, rng.integers(0, 2, len(niche)))
    far = world.niche[world.components.draw(np.zeros(len(niche), np.int64), rng)]
    other = np.where(rng.random(len(niche)) < NEAR_SHARE, near, far)
    counts = np.diff(world.components.starts)
    return np.where(counts[1 + other] > 0, other, niche)


def _normalised(shares: Floats) -> Floats:
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _stay(n: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return first and last moments: users join at any time, a third of them stay briefly."""
    joined = BEGIN + rng.random(n) * (END - BEGIN - 20 * DAY)
    rest = END - joined
    brief = rng.random(n) < 0.33
    length = np.where(brief, rng.random(n) * 60 * DAY + DAY, rest * rng.beta(3.0, 1.0, n))
    left = joined + np.minimum(length, rest - 1)
    return joined.astype(np.int64), left.astype(np.int64)


def draw_reviews(world: World, users: Users, rng: np.random.Generator) -> Reviews:
    """Draw each user's reviews: different videos, none before its release.

    A user whose draws hit too few different videos is drawn again with more draws, then keeps what
    was drawn: a few users of a large sample write fewer reviews than planned.
    """
    everyone = np.arange(len(users))
    parts = []
    for factor in (2.2, 8.0, 30.0):
        user, video, at, found = _draw(world, users, everyone, factor, rng)
        done = (found >= users.counts[everyone]) | (factor == 30.0)
        finished = np.zeros(len(users), dtype=bool)
        finished[everyone[done]] = True
        rows = finished[user]
        parts.append((user[rows], video[rows], at[rows]))
        everyone = everyone[~done]
        if not len(everyone):
            break
    user, video, at = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(user, kind="stable")
    user, video, at = user[order], video[order], at[order]
    return Reviews(user, video, at, draw_stars(world, users, user, video, rng))


def _draw(
    world: World, users: Users, chosen: Ints, factor: float, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Ints]:
    """Draw ``factor`` times the planned reviews; keep the first distinct ones, up to the plan."""
    tries = np.ceil(users.counts[chosen] * factor).astype(np.int64) + 8
    user = np.repeat(chosen, tries)
    moment = rng.random(len(user))
    mixture = np.stack([users.first, users.last], axis=1).cumsum(axis=2)[:, :, :-1]
    later = (rng.random(len(user)) < moment).astype(np.int64)
    slot = (mixture[user, later] < rng.random((len(user), 1))).sum(axis=1)
    video = world.components.draw(users.components[user, slot], rng)
    stay = users.left_at - users.joined_at
    at = users.joined_at[user] + (moment * stay[user]).astype(np.int64)
    out = world.released_at[video] <= at
    user, video, at = user[out], video[out], at[out]
    index = _first_of_each(user * world.size.videos + video)
    user, video, at = user[index], video[index], at[index]
    found = np.bincount(user, minlength=len(users))
    starts = np.cumsum(found) - found
    kept = np.arange(len(user)) - starts[user] < users.counts[user]
    return user[kept], video[kept], at[kept], found[chosen]


def _first_of_each(key: Ints) -> Ints:
    """Return the indices of each key's first occurrence, ascending."""
    # Key and index in one number: sorting plain numbers is several times faster than argsort.
    bits = max(1, len(key).bit_length())
    packed = np.sort((key << bits) | np.arange(len(key)))
    first = np.ones(len(key), dtype=bool)
    first[1:] = (packed[1:] >> bits) != (packed[:-1] >> bits)
    return np.sort(packed[first] & ((1 << bits) - 1))


def mean_stars(world: World, users: Users, user: Ints, video: Ints | slice) -> Floats:
    """Return the expected (unrounded) stars of user-video pairs; one user may have many videos."""
    affinity = np.einsum("nd,nd->n", users.latent[user], world.latent[video])
    return np.asarray(
        MEAN_STARS + users.bias[user] + world.quality[video] + TASTE_STRENGTH * affinity
    )


def draw_stars(
    world: World, users: Users, user: Ints, video: Ints, rng: np.random.Generator
) -> Ints:
    """Return 1..5 stars for pairs of user and video."""
    stars = mean_stars(world, users, user, video) + rng.logistic(0.0, STARS_NOISE, len(user))
    return np.clip(np.rint(stars), 1, 5).astype(np.int64)


def like_probability(mean: Floats) -> Floats:
    """Return the probability of four stars or more at expected stars ``mean``."""
    return np.asarray(1.0 / (1.0 + np.exp((3.5 - mean) / STARS_NOISE)))
