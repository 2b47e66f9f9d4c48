"""Review files, one per chunk of users: only sums and the sampled users stay in memory."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa

from two_tower.data.data_folder import DataFolder, table_csv
from two_tower.data.sample_data import lines
from two_tower.data.sample_data.oracle import SAMPLED_USERS, Witness
from two_tower.data.sample_data.tastes import Reviews, Users, draw_reviews, draw_users
from two_tower.data.sample_data.world import BEGIN, DAY, Floats, Ints, World

VISITOR_SHARE = 0.02  # users who signed up and wrote no review


class Chunks:
    """Writes the review files and keeps what the summary and the oracle need.

    Attributes:
        likes: reviews of each video with four stars or more; int64 [videos].
        dirty: dirty rows of each kind.
        reviews, rows: number of clean reviews, and of all rows.
        witnesses: the users that the oracle is measured on.
    """

    def __init__(
        self,
        folder: DataFolder,
        world: World,
        urls: pa.Array,
        counts: Ints,
        rng: np.random.Generator,
    ) -> None:
        self._folder, self._world, self._urls, self._counts = folder, world, urls, counts
        self._sampled = np.zeros(len(counts), dtype=bool)
        self._sampled[rng.permutation(len(counts))[:SAMPLED_USERS]] = True
        self.likes = np.zeros(world.size.videos, np.int64)
        self.dirty: Counter[str] = Counter()
        self.reviews = self.rows = 0
        self.witnesses: list[Witness] = []

    def write(
        self, seeds: list[np.random.SeedSequence], advance: Callable[[float], None]
    ) -> Iterator[bytes]:
        """Write the review files, one per seed, and yield the parts of ``users.csv``."""
        bounds = _bounds(self._counts, len(seeds))
        for number, seed in enumerate(seeds):
            rng = np.random.default_rng(seed)
            begin, end = int(bounds[number]), int(bounds[number + 1])
            users = draw_users(self._world, self._counts[begin:end], rng)
            reviews = draw_reviews(self._world, users, rng)
            reviewers = _ids("r", begin, end)
            style = lines.Style.of_file(number + 1)
            laid_out = lines.build(reviews, reviewers, self._urls, style, rng)
            name = self._folder.review_file(f"sample_{number + 1:04d}")
            self._folder.write(name, [laid_out.content])
            self._count(begin, end, users, reviews)
            self.dirty += laid_out.dirty
            self.rows += laid_out.rows
            advance(len(reviews.user))
            signed_up_at = users.joined_at - (rng.random(len(users)) * 10 * DAY).astype(np.int64)
            yield _users_csv(reviewers, signed_up_at, header=number == 0)
        visitors = _ids("v", 0, max(1, int(len(self._counts) * VISITOR_SHARE)))
        signed_up_at = BEGIN + np.arange(len(visitors)) * DAY % (1000 * DAY)
        yield _users_csv(visitors, signed_up_at, header=False)

    def _count(self, begin: int, end: int, users: Users, reviews: Reviews) -> None:
        liked = reviews.video[reviews.stars >= 4]
        self.likes += np.bincount(liked, minlength=len(self.likes))
        self.reviews += len(reviews.user)
        chosen = np.flatnonzero(self._sampled[begin:end])
        if len(chosen):
            self.witnesses.append(_witness(users, reviews, chosen))


def _bounds(counts: Ints, files: int) -> Ints:
    """Return the first user of each file, and the end; files have about equally many reviews."""
    written = np.cumsum(counts)
    inner = np.searchsorted(written, np.linspace(0, written[-1], files + 1)[1:-1])
    return np.concatenate([[0], inner, [len(counts)]])


def _ids(prefix: str, begin: int, end: int) -> pa.Array:
    # 7919 is prime: ids do not come in the order of the files, and stay different.
    return pa.array([f"{prefix}{number * 7919 % 100_000_007:08d}" for number in range(begin, end)])


def _witness(users: Users, reviews: Reviews, chosen: Ints) -> Witness:
    row = np.full(len(users), -1)
    row[chosen] = np.arange(len(chosen))
    kept = row[reviews.user] >= 0
    return Witness(
        users=Users(*(getattr(users, field.name)[chosen] for field in fields(Users))),
        reviews=Reviews(
            row[reviews.user[kept]], reviews.video[kept], reviews.at[kept], reviews.stars[kept]
        ),
    )


def _users_csv(ids: pa.Array, signed_up_at: Ints | Floats, header: bool) -> bytes:
    moments = pa.array(signed_up_at.astype("datetime64[s]"))
    return table_csv(pa.table({"id": ids, "signed_up_at": moments}), header)
