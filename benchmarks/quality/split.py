"""The split, made by the models' own SQL in a scratch project on DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from benchmarks.quality.scratch import Scratch
from two_tower.database.warehouse import open_warehouse

Texts = NDArray[np.object_]

# What is handed on is what the split says is training, as review files have it.
TRAINING = """
select videos.product_url, reviews.user_id as reviewer_id, reviews.stars, reviews.reviewed_at,
    cast(reviews.video_id as text) as video_id
from two_tower.int_reviews as reviews
inner join two_tower.interaction_splits as splits
    on splits.user_id = reviews.user_id and splits.item_id = reviews.video_id
inner join two_tower.videos as videos on videos.video_id = reviews.video_id
where splits.split = 'train'
order by reviews.user_id, reviews.video_id
"""
HELD_OUT = """
select splits.user_id, cast(splits.item_id as text) as video_id, interactions.label,
    case when splits.split = 'shown' then splits.fold else -1 end as place
from two_tower.interaction_splits as splits
inner join two_tower.interactions as interactions
    on interactions.user_id = splits.user_id and interactions.item_id = splits.item_id
where splits.split <> 'train'
order by splits.user_id, splits.item_id
"""


@dataclass(frozen=True)
class Split:
    """One split of one data set; parallel arrays, text.

    Attributes:
        training: the training reviews with the columns of a review file.
        train_users: the user of each training review.
        train_items: its video.
        held_users: the user of each held-out review.
        held_items: its video.
        held_liked: whether it is a like, bool.
        held_places: of a like that a cold user is known by, its place from 0; -1: to be found.
        catalogue: the folder of the catalogue's files.
        seed: the var ``split_seed``.
    """

    training: pa.Table
    train_users: Texts
    train_items: Texts
    held_users: Texts
    held_items: Texts
    held_liked: NDArray[np.bool_]
    held_places: NDArray[np.int64]
    catalogue: Path
    seed: str

    def write(self, data_dir: Path) -> None:
        """Write a data folder that holds the training reviews and nothing of the others."""
        (data_dir / "reviews").mkdir(parents=True)
        csv.write_csv(self.training, data_dir / "reviews" / "dmm_reviews_training.csv")
        (data_dir / "catalogue").symlink_to(self.catalogue)


def split(project: Scratch, strategy: str, seed: str) -> Split:
    """Split a loaded project."""
    project.dbt(
        "run",
        "--select",
        "+interaction_splits",
        "+interactions",
        "+videos",
        split_strategy=strategy,
        split_seed=seed,
    )
    with open_warehouse(project.settings) as warehouse:
        training = warehouse.read_arrow(TRAINING).read_all()
        held_out = warehouse.read_arrow(HELD_OUT).read_all()
    return Split(
        training=training.drop_columns("video_id"),
        train_users=_texts(training, "reviewer_id"),
        train_items=_texts(training, "video_id"),
        held_users=_texts(held_out, "user_id"),
        held_items=_texts(held_out, "video_id"),
        held_liked=held_out["label"].to_numpy() == 1,
        held_places=held_out["place"].to_numpy().astype(np.int64),
        catalogue=project.settings.catalogue_dir,
        seed=seed,
    )


def _texts(table: pa.Table, column: str) -> Texts:
    return np.array(table[column].to_pylist(), dtype=object)
