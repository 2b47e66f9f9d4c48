"""The world of the sample: its size, its catalogue in numbers, and the components of taste.

Every component (everything, a niche, a performer, a series, a maker) is a distribution over videos.
A user is a mixture of a few components: a review is drawn by drawing a component, then a video. The
constants of this folder are assumptions, not estimates from data: the sample shows that the
pipeline works, and the benchmarks on public data show how well.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from two_tower.data.sample_data import words

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DAY = 86_400
BEGIN = int(np.datetime64("2023-07-01T00:00:00", "s").astype(np.int64))
END = int(np.datetime64("2026-07-01T00:00:00", "s").astype(np.int64))
LATENT = 6
PRICES = np.array([300, 500, 780, 980, 1480, 1980, 2480, 2980, 3980])
PRICE_SHARES = np.array([0.1, 0.2, 0.12, 0.2, 0.12, 0.12, 0.06, 0.05, 0.03])
COLD_SHARE = 0.04
NEW_SHARE = 0.02
QUALITY_SPREAD = 0.35  # standard deviation, in stars
POPULARITY_OFFSET = 8.0


@dataclass(frozen=True)
class Size:
    """The numbers of users, videos and other entities for a number of reviews."""

    reviews: int
    reviewers: int
    videos: int
    niches: int
    makers: int
    performers: int

    @classmethod
    def of(cls, reviews: int, videos: int | None = None) -> "Size":
        """Return the size of a world: 30 reviews a reviewer, videos by the root of the reviews.

        ``videos`` overrides their number, for a catalogue that is large for its reviews.
        """
        videos = videos or max(80, round(1500 * (reviews / 60_000) ** 0.5))
        return cls(
            reviews=reviews,
            reviewers=max(10, reviews // 30),
            videos=videos,
            niches=max(6, videos // 75),
            makers=max(6, videos // 30),
            performers=max(20, videos // 8),
        )


@dataclass(frozen=True)
class Components:
    """Distributions over videos, concatenated.

    Attributes:
        items: videos of component 0, then of component 1, … int64.
        cdf: parallel to ``items``: component + cumulative probability inside it, ascending.
        shares: parallel to ``items``: the probability inside the component.
        starts: offset of each component in ``items``, and the end.
        performers, series, makers: the component of entity 0 of each kind; niches begin at 1.
    """

    items: Ints
    cdf: Floats
    shares: Floats
    starts: Ints
    performers: int
    series: int
    makers: int

    def draw(self, component: Ints, rng: np.random.Generator) -> Ints:
        """Return one video for each of ``component``."""
        position = np.searchsorted(self.cdf, component + rng.random(len(component)), side="right")
        return self.items[np.minimum(position, self.starts[component + 1] - 1)]

    def distribution(self, component: int) -> tuple[Ints, Floats]:
        """Return the videos of one component and their probabilities."""
        rows = slice(self.starts[component], self.starts[component + 1])
        return self.items[rows], self.shares[rows]


@dataclass(frozen=True)
class World:
    """The catalogue in numbers; entity numbers are 0-based, -1 stands for none."""

    size: Size
    niche: Ints
    maker: Ints
    label: Ints
    series: Ints
    series_count: int
    performer_video: Ints
    performer: Ints
    source: Ints
    price: Ints
    released_at: Ints
    popularity: Floats
    quality: Floats
    latent: Floats
    niche_latent: Floats
    first_performer: Ints
    components: Components = field(repr=False)

    @property
    def niche_genre(self) -> Ints:
        """The genre of each niche."""
        return np.arange(self.size.niches) % len(words.GENRES)


def build(size: Size, rng: np.random.Generator) -> World:
    """Draw the world."""
    n = size.videos
    niche_size = rng.dirichlet(np.full(size.niches, 4.0))
    niche = rng.choice(size.niches, n, p=niche_size)
    series_count = max(4, n // 7)
    series_niche = rng.choice(size.niches, series_count, p=niche_size)
    maker_of = _members(size.niches, size.makers, 3, rng)
    series_maker = maker_of[series_niche, rng.integers(0, 3, series_count)]
    series_label = series_maker * 3 + rng.integers(0, 3, series_count)
    series = _series(niche, series_niche, rng)
    maker = np.where(
        rng.random(n) < 0.85,
        maker_of[niche, rng.integers(0, 3, n)],
        rng.integers(0, size.makers, n),
    )
    label = np.where(rng.random(n) < 0.85, maker * 3 + rng.integers(0, 3, n), -1)
    maker = np.where(series >= 0, series_maker[series], maker)
    label = np.where(series >= 0, series_label[series], label)
    performer_video, performer = _cast(niche, size, rng)
    first_performer = np.full(n, -1)
    first_performer[performer_video[::-1]] = performer[::-1]
    popularity, released_at = _popularity(n, rng)
    niche_latent = rng.normal(size=(size.niches, LATENT)) / np.sqrt(LATENT)
    return World(
        size=size,
        niche=niche,
        maker=maker,
        label=label,
        series=series,
        series_count=series_count,
        performer_video=performer_video,
        performer=performer,
        source=rng.choice(4, n, p=[0.55, 0.25, 0.12, 0.08]),
        price=rng.choice(PRICES, n, p=PRICE_SHARES),
        released_at=released_at,
        popularity=popularity,
        quality=rng.normal(0.0, QUALITY_SPREAD, n),
        latent=niche_latent[niche] + 0.5 * rng.normal(size=(n, LATENT)) / np.sqrt(LATENT),
        niche_latent=niche_latent,
        first_performer=first_performer,
        components=components_of(
            popularity,
            (niche, size.niches),
            (performer_video, performer, size.performers),
            (series, series_count),
            (maker, size.makers),
        ),
    )


def _members(groups: int, members: int, each: int, rng: np.random.Generator) -> Ints:
    """Return ``each`` members for every group, int64 [groups, each]."""
    return rng.integers(0, members, (groups, each))


def _series(niche: Ints, series_niche: Ints, rng: np.random.Generator) -> Ints:
    """Put 55 % of the videos into a series of their niche, if it has one."""
    order = np.argsort(series_niche, kind="stable")
    counts = np.bincount(series_niche, minlength=int(niche.max()) + 1)
    starts = np.cumsum(counts) - counts
    pick = starts[niche] + (rng.random(len(niche)) * counts[niche]).astype(np.int64)
    has_one = (rng.random(len(niche)) < 0.55) & (counts[niche] > 0)
    return np.where(has_one, order[np.minimum(pick, len(order) - 1)], -1)


def _cast(niche: Ints, size: Size, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Give each video 0 to 4 performers, mostly from its niche's own pool."""
    pool = _members(size.niches, size.performers, 6, rng)
    count = rng.choice(5, len(niche), p=[0.1, 0.4, 0.3, 0.15, 0.05])
    video = np.repeat(np.arange(len(niche)), count)
    performer = np.where(
        rng.random(len(video)) < 0.8,
        pool[niche[video], rng.integers(0, 6, len(video))],
        rng.integers(0, size.performers, len(video)),
    )
    pairs = np.unique(video * size.performers + performer)
    return pairs // size.performers, pairs % size.performers


def popularity_of(rank: Ints) -> Floats:
    """Return the popularity of the video at a rank, from 0."""
    return np.asarray(1.0 / (rank + POPULARITY_OFFSET), np.float64)


def _popularity(n: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Return a long-tailed popularity (0: never reviewed) and the release moments (six years)."""
    popularity = popularity_of(rng.permutation(n))
    age = rng.beta(1.3, 1.0, n) * 6 * 365 * DAY
    kind = rng.random(n)
    age = np.where(kind < NEW_SHARE, rng.random(n) * 14 * DAY, age)
    popularity[kind < NEW_SHARE + COLD_SHARE] = 0.0
    return popularity, (END - age.astype(np.int64)) // DAY * DAY


def components_of(
    popularity: Floats,
    niches: tuple[Ints, int],
    cast: tuple[Ints, Ints, int],
    series: tuple[Ints, int],
    makers: tuple[Ints, int],
) -> Components:
    """Return the components of videos with the given popularity.

    Args:
        popularity: of each video; videos with 0 are in no component.
        niches: niche of each video, and the number of niches.
        cast: videos and performers of pairs, and the number of performers.
        series: series of each video or -1, and the number of series.
        makers: maker of each video, and the number of makers.
    """
    everything = np.arange(len(popularity))
    in_series = np.flatnonzero(series[0] >= 0)
    first_performer = 1 + niches[1]
    first_series = first_performer + cast[2]
    first_maker = first_series + series[1]
    video = np.concatenate([everything, everything, cast[0], in_series, everything])
    component = np.concatenate(
        [
            np.zeros(len(everything), np.int64),
            1 + niches[0],
            first_performer + cast[1],
            first_series + series[0][in_series],
            first_maker + makers[0],
        ]
    )
    weight = popularity[video]
    kept = weight > 0
    video, component, weight = video[kept], component[kept], weight[kept]
    order = np.argsort(component, kind="stable")
    video, component, weight = video[order], component[order], weight[order]
    count = first_maker + makers[1]
    starts = np.searchsorted(component, np.arange(count + 1))
    total = np.cumsum(weight)
    before = np.concatenate([[0.0], total])[starts[:-1]]
    mass = np.bincount(component, weight, minlength=count)
    cdf = component + np.minimum((total - before[component]) / mass[component], 1.0)
    shares = weight / mass[component]
    return Components(video, cdf, shares, starts, first_performer, first_series, first_maker)
