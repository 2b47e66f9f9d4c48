import numpy as np
import pytest

import training_tables
from training.test_ease import open_data
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import LinearMap
from two_tower.training.data.batches import draw
from two_tower.training.experts import distillation, ease, ridge_search
from two_tower.training.experts.distillation import SHARPNESS, UNKNOWN, is_needed
from two_tower.training.experts.ridge_search import Tried, choose_ridge

CONFIG = TrainConfig(ridge=2.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(tmp_path_factory.mktemp("whole"))


def drawn(data, rows):
    """Return these users as the towers see them in a step."""
    part = data.read(rows)
    config = TrainConfig(hidden_share=(0.2, 0.5), profile_dropout=0.5)
    rng = np.random.default_rng(0)
    return draw(data, part, part.weights, config, rng)


def test_it_ranks_by_the_whole_regression_on_what_the_towers_see(data):
    rows, known = data.likers[:40], np.arange(training_tables.WITH_ID)
    batch = drawn(data, rows)
    # Columns in another order than the videos'; those of too new an id are behind.
    place = np.argsort(np.random.default_rng(1).permutation(training_tables.VIDEOS))
    found = distillation.fit(CONFIG, data).scores(batch, place, training_tables.VIDEOS)
    closed = ease.fit(CONFIG, data)  # of so few videos the rank is full
    flat = np.zeros((len(rows), data.layout.feature_dim("user") + 1))
    history = data.layout.user[2]
    for row in range(len(rows)):
        inside = batch.slots.rows == row
        flat[row, batch.slots.positions[inside]] = batch.slots.values[inside]
        mine = flat[row, history.offset : history.offset + history.width]
        mine /= np.sqrt((mine**2).sum() + 4)
    expected = (flat @ closed.user) @ closed.item[known].T
    rankings = found.numpy()[:, place[known]]
    factor = rankings.std() / expected.std()
    np.testing.assert_allclose(rankings, factor * expected, atol=1e-5)
    others = np.setdiff1d(np.arange(training_tables.VIDEOS), place[known])
    assert set(found.numpy()[:, others].ravel()) == {np.float32(SHARPNESS * UNKNOWN)}


def test_its_scores_are_spread_by_half_a_deviation(data):
    whole = data.read(data.likers)
    config = TrainConfig(hidden_share=(0.0, 0.0), profile_dropout=0.0)
    batch = draw(data, whole, whole.weights, config, np.random.default_rng(0))
    batch.slots.values[:] = whole.slots.values
    videos = training_tables.VIDEOS
    found = distillation.fit(CONFIG, data).scores(batch, np.arange(videos), videos)
    spread = found.numpy()[:, : training_tables.WITH_ID].std(axis=1).mean()
    assert spread == pytest.approx(SHARPNESS, rel=1e-3)


def test_the_search_does_not_tell_it_of_the_validation_fold(data, tmp_path):
    """Other stars in the fold change nothing of it, and something of the final one."""
    other = open_data(
        tmp_path,
        "create table rest as select * replace ([case when x[2] = 0 then 0.9 else x[1] end"
        " for x in list_zip(relevances, folds)] as relevances,"
        # A history has the stars of each review with an id, in the same order.
        " [case when x[1] = 3 and folds[list_position(item_numbers, x[2])] = 0 then 0.9"
        ' else x[3] end for x in list_zip(feature_ids, indices, "values")] as "values")'
        " from two_tower.training_users",
        "delete from two_tower.training_users",
        "insert into two_tower.training_users from rest",
    )
    mine, theirs = (
        [distillation.fit(CONFIG, view) for view in (each.without_fold(0), each)]
        for each in (data, other)
    )
    np.testing.assert_allclose(mine[0].solution, theirs[0].solution, atol=1e-6)
    assert not np.allclose(mine[1].solution, theirs[1].solution, atol=1e-3)


@pytest.mark.parametrize(("low", "expected"), [(0.3, False), (0.281, False), (0.28, True)])
def test_it_is_asked_where_a_low_rank_loses_a_fifteenth(data, monkeypatch, low, expected):
    """Told apart by their width: of the whole there is a column a video."""
    head = ease.head_of(CONFIG, data)

    def validate(_encode, vectors, *_given):
        return {"ndcg@10": 0.3 if vectors.shape[1] == training_tables.WITH_ID else low}

    monkeypatch.setattr(ridge_search, "validate", validate)
    closed = LinearMap(np.zeros((105, 3)), np.zeros((training_tables.VIDEOS, 3)))
    tried = Tried(2.0, head, closed, np.zeros((50, 50)))
    assert is_needed(data, tried, data.validation) == expected
    assert not is_needed(data, Tried(2.0, head), data.validation)


def test_a_map_that_says_nothing_loses_to_the_whole(data):
    tried = choose_ridge(TrainConfig(), data.without_fold(0), data.validation)
    assert not is_needed(data, tried, data.validation)
    nothing = LinearMap(0 * tried.closed.user, tried.closed.item)
    assert is_needed(data, tried._replace(closed=nothing), data.validation)


@pytest.mark.parametrize(
    ("settings", "most", "may"),
    [
        ({}, 60, True),
        ({}, 59, False),
        ({"max_full_softmax_items": 59}, 60, False),
        ({"loss": "bce"}, 60, False),
    ],
)
def test_it_is_for_a_full_softmax_of_videos_that_fit(data, monkeypatch, settings, most, may):
    monkeypatch.setattr(distillation, "MAX_VIDEOS", most)
    assert distillation.applies(TrainConfig(**settings), data) == may
