"""What everybody likes, as a linear map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import training_tables
from training.test_ensemble import ensemble_of
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import open_warehouse
from two_tower.training.data.dataset import Data
from two_tower.training.ensemble import Choice
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


def test_the_larger_its_share_the_more_a_list_is_of_what_was_reviewed_often(
    duckdb_settings: Settings, tmp_path: Path
) -> None:
    ensemble = ensemble_of(read(duckdb_settings, tmp_path), others=(popularity,))
    counts = ensemble.data.review_counts[ensemble.known]
    reviews = []
    for share in (0.0, 0.3, 1.0):
        part = ensemble.at(Choice().with_weight("popularity", share))
        scores = (ensemble.users @ part.user) @ part.item[ensemble.known].T
        reviews.append(counts[np.argsort(-scores, axis=1)[:, :5]].mean())
    assert reviews[0] < reviews[1] < reviews[2]
    assert reviews[2] == np.sort(counts)[-5:].mean()
