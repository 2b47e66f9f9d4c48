"""What everybody likes, as a linear map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import training_tables
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import open_warehouse
from two_tower.training.data.dataset import Data
from two_tower.training.experts import popularity


def read(settings: Settings, folder: Path) -> Data:
    with open_warehouse(settings) as warehouse:
        training_tables.build(warehouse)
        return training_tables.read(warehouse, folder / "spool")


def test_it_is_what_was_reviewed_outside_the_withheld_fold(
    duckdb_settings: Settings, tmp_path: Path
) -> None:
    data = read(duckdb_settings, tmp_path)
    for view in (data, data.without_fold(0)):
        found = popularity.fit(TrainConfig(), view)
        assert found is not None
        part = view.read(view.fitted)
        counts = np.bincount(part.items[~part.held], minlength=len(view.items))
        scores = np.log1p(counts)
        expected = np.where(view.known, scores - scores[view.known].mean(), 0)
        np.testing.assert_allclose(found.item[:, 0], expected)
        assert np.flatnonzero(found.user).tolist() == [len(found.user) - 1]
    assert not np.allclose(found.item, popularity.fit(TrainConfig(), data).item)  # type: ignore[union-attr]


def test_it_does_not_apply_where_all_videos_are_reviewed_as_often(
    duckdb_settings: Settings, tmp_path: Path
) -> None:
    data = read(duckdb_settings, tmp_path)
    assert popularity.applies(TrainConfig(), data)
    alike = replace(data, review_counts=np.minimum(data.review_counts, 1))
    assert not popularity.applies(TrainConfig(), alike)
