import duckdb
import numpy as np
import pytest

import training_tables
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.training.experts import towers


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_what_is_to_be_found_is_relevant_or_by_the_specification_liked(tmp_path, monkeypatch, loss):
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse)
    data = training_tables.read(warehouse, tmp_path)
    drawn, draw = [], towers.draw
    monkeypatch.setattr(towers, "draw", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    start = "closed_form" if loss == "softmax" else "random"
    config = TrainConfig(loss=loss, start=start, hidden_share=(1.0, 1.0))
    towers.Fit(config, data, epochs=1).epoch(lambda _: None)
    found = np.concatenate([batch.weights for batch in drawn])
    likes, reviews = data.like_counts.sum(), data.review_counts.sum()
    assert reviews > likes
    if loss == "bce":
        assert found.tolist() == [training_tables.LIKE] * likes
    else:
        assert len(found) == reviews
        assert set(found) == {training_tables.LIKE**2, training_tables.DISLIKE**2}


@pytest.mark.parametrize(("start", "drops"), [("closed_form", [0.0]), ("random", [0.3] * 4)])
def test_joined_towers_see_all_videos_as_they_are_and_weigh_their_slots_once(
    tmp_path, monkeypatch, start, drops
):
    """Towers that stand alone have to know what a video without its own id is."""
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse)
    data = training_tables.read(warehouse, tmp_path)
    given, take_items = [], towers.take_items

    def watched(items, numbers, drop, rng):
        given.append(drop)
        return take_items(items, numbers, drop, rng)

    monkeypatch.setattr(towers, "take_items", watched)
    config = TrainConfig(start=start, batch_size=len(data.likers) // 2)
    trained = towers.Fit(config, data, epochs=2)
    before = trained.towers.towers["item"].weight.clone()
    trained.epoch(lambda _: None)
    between = trained.towers.towers["item"].weight.clone()
    trained.epoch(lambda _: None)
    assert given == drops
    for one, other in ((before, between), (between, trained.towers.towers["item"].weight)):
        assert not (one == other).all()
