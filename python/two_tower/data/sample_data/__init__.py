"""A generated data set with known preferences: ``two-tower sample-data --reviews 60000``."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from two_tower.core.errors import InputError
from two_tower.core.progress import bar
from two_tower.core.settings import REVIEW_FILES
from two_tower.data.data_folder import DataFolder, table_csv
from two_tower.data.sample_data import catalogue, oracle
from two_tower.data.sample_data.chunks import Chunks
from two_tower.data.sample_data.tastes import review_counts
from two_tower.data.sample_data.world import Size, build

MIN_REVIEWS = 300
ROWS_PER_FILE = 200_000
MIN_FILES = 6


@dataclass(frozen=True)
class SampleSummary:
    """The result of :func:`generate`.

    Attributes:
        reviews: clean reviews, one per reviewer and video.
        dirty_rows: further rows that the loader rejects, cannot match or finds twice.
        files: paths of all files.
        oracle: the metrics in ``oracle.json``.
    """

    reviews: int
    reviewers: int
    videos: int
    dirty_rows: int
    files: list[str]
    seconds: float
    oracle: dict[str, object] = field(repr=False)


def generate(
    out_dir: Path,
    reviews: int = 60_000,
    seed: int = 7,
    videos: int | None = None,
    review_files: str = REVIEW_FILES,
) -> SampleSummary:
    """Write a sample below ``out_dir``: ``reviews/``, ``catalogue/``, and two JSON files.

    ``oracle.json`` holds the metrics of an oracle that knows every taste, ``origin.json`` what was
    written. The same arguments give the same bytes. Memory grows by a few numbers per reviewer.

    Args:
        out_dir: the data folder; an earlier sample in it is replaced.
        reviews: clean reviews to write; one dirty row per hundred is added. The number of reviewers
            is proportional to it, that of videos to its square root.
        seed: seed of all random draws.
        videos: number of videos; by default it follows from ``reviews``.
        review_files: name pattern of the review files, with one ``*``.

    Raises:
        InputError: too few reviews, or a folder with files that are not a sample's.
    """
    if reviews < MIN_REVIEWS:
        raise InputError(
            f"{reviews} reviews are too few for a sample", f"ask for {MIN_REVIEWS} or more"
        )
    started = time.perf_counter()
    world_seed, count_seed, split_seed, *chunk_seeds = np.random.SeedSequence(seed).spawn(
        3 + max(MIN_FILES, -(-reviews // ROWS_PER_FILE))
    )
    rng = np.random.default_rng(world_seed)
    world = build(Size.of(reviews, videos), rng)
    urls = catalogue.product_urls(world)
    tables = catalogue.tables(world, urls, rng)
    counts = review_counts(world, np.random.default_rng(count_seed))
    split_rng = np.random.default_rng(split_seed)
    with (
        DataFolder(out_dir, "sample-data", review_files) as folder,
        bar("sample reviews", reviews) as shown,
    ):
        for name, table in tables.items():
            folder.write(f"catalogue/{name}.csv", [table_csv(table)])
        chunks = Chunks(folder, world, pa.array(urls), counts, split_rng)
        folder.write("catalogue/users.csv", chunks.write(chunk_seeds, shown.advance))
        shown.note("measuring the ceiling")
        truth = oracle.measure(world, chunks.witnesses, chunks.likes, split_rng)
        truth = {"reviews": chunks.reviews, "seed": seed, **truth}
        folder.write("oracle.json", [json.dumps(truth, indent=2, ensure_ascii=False).encode()])
        rows = {"rows": chunks.rows, "dirty": chunks.dirty}
        files = folder.finish({"reviews": chunks.reviews, "seed": seed, **rows})
    return SampleSummary(
        reviews=chunks.reviews,
        reviewers=len(counts),
        videos=world.size.videos,
        dirty_rows=sum(chunks.dirty.values()),
        files=files,
        seconds=round(time.perf_counter() - started, 2),
        oracle=truth,
    )
