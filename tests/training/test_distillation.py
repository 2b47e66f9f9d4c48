import numpy as np
import pytest

import training_tables
from training.test_ease import open_data
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import Factors
from two_tower.training.data.batches import Hiding, draw
from two_tower.training.experts import distillation, solver
from two_tower.training.experts.distillation import SHARPNESS, UNKNOWN, loses
from two_tower.training.experts.ridge_search import Tried
from two_tower.training.experts.solver import Solver


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(tmp_path_factory.mktemp("whole"))


def drawn(data, rows):
    """Return these users as the towers see them in a step."""
    part = data.users.read(rows)
    withheld = np.zeros(len(part.items), dtype=bool)
    hiding = Hiding((0.2, 0.5), 0.5)
    rng = np.random.default_rng(0)
    return draw(data.layout, data.items, part, withheld, part.weights, hiding, rng)


def test_it_ranks_by_the_whole_regression_on_what_the_towers_see(data):
    rows, known = data.likers[:40], np.arange(training_tables.WITH_ID)
    batch = drawn(data, rows)
    # Columns in another order than the videos'; those of too new an id are behind.
    place = np.argsort(np.random.default_rng(1).permutation(training_tables.VIDEOS))
    solver = Solver(TrainConfig(), data)
    found = solver.teacher(False, 2.0).scores(batch, place, training_tables.VIDEOS)
    closed = solver.closed(False, 2.0)  # of so few videos the rank is full
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
    whole = data.users.read(data.likers)
    nothing = np.zeros(len(whole.items), dtype=bool)
    hiding, rng = Hiding((0.0, 0.0), 0.0), np.random.default_rng(0)
    batch = draw(data.layout, data.items, whole, nothing, whole.weights, hiding, rng)
    batch.slots.values[:] = whole.slots.values
    found = (
        Solver(TrainConfig(), data)
        .teacher(False, 2.0)
        .scores(batch, np.arange(training_tables.VIDEOS), training_tables.VIDEOS)
    )
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
        [Solver(TrainConfig(), each).teacher(withhold, 2.0) for withhold in (True, False)]
        for each in (data, other)
    )
    np.testing.assert_allclose(mine[0].solution, theirs[0].solution, atol=1e-6)
    assert not np.allclose(mine[1].solution, theirs[1].solution, atol=1e-3)


@pytest.mark.parametrize(("low", "expected"), [(0.3, False), (0.281, False), (0.28, True)])
def test_it_is_asked_where_a_low_rank_loses_a_fifteenth(data, monkeypatch, low, expected):
    """Told apart by their width: of the whole there is a column a video."""
    base = Solver(TrainConfig(), data).base

    def validate(_encode, vectors, *_given):
        return {"ndcg@10": 0.3 if vectors.shape[1] == training_tables.WITH_ID else low}

    monkeypatch.setattr(distillation, "validate", validate)
    closed = Factors(np.zeros((105, 3)), np.zeros((training_tables.VIDEOS, 3)))
    tried = Tried(2.0, closed, np.zeros((50, 50)))
    given = data, Solver(TrainConfig(), data).tower, base
    assert loses(*given, tried, data.validation) == expected
    assert not loses(*given, Tried(2.0), data.validation)


def test_a_map_that_says_nothing_loses_to_the_whole(data):
    found = Solver(TrainConfig(), data)
    tried = found.try_ridges(data.validation, "ndcg@100")
    given = data, found.tower, found.base
    assert not loses(*given, tried, data.validation)
    nothing = Factors(0 * tried.closed.user, tried.closed.item)
    assert loses(*given, tried._replace(closed=nothing), data.validation)


@pytest.mark.parametrize(
    ("settings", "most", "may"),
    [
        ({}, 60, True),
        ({}, 59, False),
        ({"max_full_softmax_items": 59}, 60, False),
        ({"loss": "bce"}, 60, False),
    ],
)
def test_it_teaches_a_full_softmax_of_videos_that_fit(data, monkeypatch, settings, most, may):
    monkeypatch.setattr(solver, "MAX_TAUGHT", most)
    assert Solver(TrainConfig(**settings), data).may_teach == may


def test_it_is_solved_where_it_is_needed(data, monkeypatch):
    for needed in (False, True):
        monkeypatch.setattr(solver, "loses", lambda *_given, needed=needed: needed)
        found = Solver(TrainConfig(), data).teacher_if_needed(Tried(2.0), data.validation)
        assert (found is not None) == needed
