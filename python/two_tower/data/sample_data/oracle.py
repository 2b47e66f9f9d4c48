"""The ceiling of the sample: the metrics of an oracle that knows every true preference."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from two_tower.data.sample_data.tastes import Reviews, Users, like_probability, mean_stars
from two_tower.data.sample_data.world import Floats, Ints, World

SAMPLED_USERS = 2000
HELD_OUT = 0.2
PROTOCOL = (
    "Each sampled user's reviews (one a video) are split 80/20 at random; targets are held-out "
    "reviews of 4 stars and up; all videos outside the user's training part are ranked; recall is "
    "divided by min(K, targets); means over users with a target. The oracle ranks by the true "
    "probability that a video not in training is held out and liked, given the user's tastes "
    "averaged over their time; popularity ranks by likes outside the held-out part."
)


@dataclass(frozen=True)
class Witness:
    """Users (all of them sampled) with their reviews; ``reviews.user`` are rows of ``users``."""

    users: Users
    reviews: Reviews


def measure(
    world: World, witnesses: list[Witness], likes: Ints, rng: np.random.Generator
) -> dict[str, object]:
    """Return the metrics of the oracle and of popularity on the sampled users.

    Args:
        world: the catalogue.
        witnesses: the sampled users, in parts.
        likes: reviews of each video with four stars or more, over all users; int64 [videos].
        rng: draws the split.
    """
    splits = [(w, held_out(w, rng)) for w in witnesses]
    popular = likes.copy()
    for witness, held in splits:
        np.subtract.at(popular, witness.reviews.video[held & (witness.reviews.stars >= 4)], 1)
    # Ties are broken by video number, as a database would break them by id.
    place = np.empty(len(popular), np.int64)
    place[np.argsort(-popular, kind="stable")] = np.arange(len(popular))
    oracle_rows: list[dict[str, float]] = []
    popular_rows: list[dict[str, float]] = []
    for witness, held in splits:
        for user, count, seen, target in asked(witness, held):
            score = scores(world, witness.users, user, count)
            for rows, values in ((oracle_rows, score), (popular_rows, -place)):
                rows.append(metrics(values, seen, target))
    return {
        "protocol": PROTOCOL,
        "n_users": len(oracle_rows),
        "oracle": means(oracle_rows),
        "popularity": means(popular_rows),
    }


def asked(witness: Witness, held: np.ndarray) -> Iterator[tuple[int, int, Ints, Ints]]:
    """Yield each user with a target: their row, number of reviews, seen videos, targets."""
    reviews = witness.reviews
    starts = np.searchsorted(reviews.user, np.arange(len(witness.users) + 1))
    for user in range(len(witness.users)):
        rows = slice(starts[user], starts[user + 1])
        out, video = held[rows], reviews.video[rows]
        target = video[out & (reviews.stars[rows] >= 4)]
        if len(target):
            yield user, len(video), video[~out], target


def held_out(witness: Witness, rng: np.random.Generator) -> np.ndarray:
    """Mark a random fifth of each user's reviews, at least one; bool [reviews]."""
    user = witness.reviews.user
    order = np.lexsort((rng.random(len(user)), user))
    counts = np.bincount(user, minlength=len(witness.users))
    starts = np.cumsum(counts) - counts
    place = np.empty(len(user), np.int64)
    place[order] = np.arange(len(user)) - starts[user[order]]
    return np.asarray(place < np.maximum(1, np.rint(counts * HELD_OUT))[user])


def scores(world: World, users: Users, user: int, count: int) -> Floats:
    """Return P(held out and liked | not in training) of every video; float64 [videos].

    Args:
        world: the catalogue.
        users: with the user's tastes.
        user: row of the user.
        count: number of all reviews of the user.
    """
    reviewed = inclusion(world, users, user, count)
    liked = like_probability(mean_stars(world, users, np.array([user]), slice(None)))
    return np.asarray(HELD_OUT * reviewed / (1.0 - (1.0 - HELD_OUT) * reviewed) * liked)


def inclusion(world: World, users: Users, user: int, count: int) -> Floats:
    """Return the probability that each video is among the user's reviews; float64 [videos]."""
    first, last = np.zeros(world.size.videos), np.zeros(world.size.videos)
    for slot, component in enumerate(users.components[user]):
        video, share = world.components.distribution(int(component))
        first[video] += share * users.first[user, slot]
        last[video] += share * users.last[user, slot]
    # The mixture shifts linearly over the user's time; a video counts from its release on.
    stay = max(int(users.left_at[user] - users.joined_at[user]), 1)
    out = np.clip((world.released_at - users.joined_at[user]) / stay, 0.0, 1.0)
    chance = first * (1.0 - out) ** 2 / 2 + last * (1.0 - out**2) / 2
    return drawn(chance, count)


def drawn(chance: Floats, count: int) -> Floats:
    """Return the probability that each video is among ``count`` draws without replacement.

    Draws without replacement are those of a Poisson process stopped at its ``count``-th video
    (Rosén 1972): 1 - exp(-t p), with t such that the probabilities sum to ``count``.
    """
    chance = chance / chance.sum()
    wanted = min(float(count), 0.99 * int((chance > 0).sum()))
    time = wanted
    for _ in range(8):  # Newton from the left: the sum is concave in t
        missed = np.exp(-time * chance)
        short = wanted - (len(chance) - missed.sum())
        if short < 1e-6 * wanted:
            break
        time += short / (chance * missed).sum()
    return np.asarray(1.0 - missed)


def _ranks(score: Floats | Ints, seen: Ints, target: Ints) -> Ints:
    """Return the ranks of the targets among the unseen videos, from 0, ascending."""
    known = score[seen]
    wanted = score[target][:, None]
    return np.sort((score > wanted).sum(axis=1) - (known > wanted).sum(axis=1))


def metrics(score: Floats | Ints, seen: Ints, target: Ints) -> dict[str, float]:
    """Return the metrics of a ranking of the unseen videos by descending score."""
    places = _ranks(score, seen, target)
    targets = len(places)
    gains = 1.0 / np.log2(places + 2.0)
    ideal = 1.0 / np.log2(np.arange(targets) + 2.0)
    return {
        **{f"recall@{k}": float((places < k).sum() / min(k, targets)) for k in (20, 50)},
        **{f"ndcg@{k}": float(gains[places < k].sum() / ideal[:k].sum()) for k in (10, 100)},
        "mrr": float(1.0 / (places[0] + 1)),
    }


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over users."""
    names = rows[0] if rows else ()
    return {name: round(float(np.mean([row[name] for row in rows])), 6) for name in names}
