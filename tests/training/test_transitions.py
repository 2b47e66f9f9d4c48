"""People who watch one video after the other, so that what comes next can be known."""

from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

import training_tables
from training.test_ensemble import ensemble_of, share_of
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.model.linear_map import design, of_towers
from two_tower.training.experts import session_ease, transitions
from two_tower.training.experts.towers import Fit
from two_tower.training.experts.transitions import add_up, head_of, in_turn, profile

VIDEOS, USERS, LONG = training_tables.WITH_ID, 200, 12
# What the latest review counts, the one before it, and so on.
COUNTS = np.exp(-np.arange(5) / 2)


def open_data(folder, in_order=True, latest=True, users=USERS, dated=USERS):
    """Users who go on from a video of their own: 7, 8, 9, …; or who saw the same in any order.

    Fold 0 is each user's ``latest`` review, or any. Of those after the first ``dated`` nobody knows
    the order.
    """
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse, users=0)
    training_tables.insert(
        warehouse, "feature_layout", 7, "user", "recent", "recency", 5, "video", VIDEOS, "planted"
    )
    rng = np.random.default_rng(3)
    for user in range(users):
        videos = (rng.integers(VIDEOS) + np.arange(LONG)) % VIDEOS
        videos = videos if in_order else rng.permutation(videos)
        folds = np.minimum(np.arange(LONG)[::-1] if latest else rng.permutation(LONG), 9)
        last = videos[::-1][: len(COUNTS)].tolist()
        recent = [7] * len(last), last, COUNTS.tolist()
        liked = np.ones(LONG, dtype=int)
        training_tables.insert_in_turn(
            warehouse, f"u{user:04d}", videos, liked, folds, recent, user < dated
        )
    return training_tables.read(warehouse, folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(tmp_path_factory.mktemp("ordered"))


def recency_of(data):
    return next(block for block in data.layout.user if block.kind == "recency")


def searched(data):
    return ensemble_of(data.without_fold(0), epochs=4, others=(session_ease, transitions))


def test_the_counts_are_read_off_the_slots(data):
    users = data.read(np.arange(40))
    np.testing.assert_allclose(profile(users, recency_of(data)), COUNTS, rtol=1e-6)


def test_each_review_is_beside_what_came_before_it():
    """A user's first review follows nothing."""
    users = SimpleNamespace(
        rows=np.array([0, 0, 0, 1, 1]),
        items=np.array([2, 4, 3, 0, 1]),
        recency_ranks=np.array([2, 0, 1, 0, 1]),
    )
    known = np.ones(5, dtype=bool)
    inputs, targets = in_turn(users, known, np.array([0, 1, -1, 2, 3]), np.array([1.0, 0.5]))
    # In turn: user 0 saw 2 (outside the head), 3, 4; user 1 saw 1, 0.
    rows = [[0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert targets.toarray().tolist() == rows
    assert inputs.toarray().tolist() == [[0, 0, 0, 0], rows[0], [0, 0, 0, 0], rows[2]]


def test_the_next_video_is_found_from_the_last(data):
    factors = transitions.fit(TrainConfig(), data)
    block = recency_of(data)
    scores = factors.user[block.offset : block.offset + VIDEOS] @ factors.item[:VIDEOS].T
    assert (scores.argmax(axis=1) == (np.arange(VIDEOS) + 1) % VIDEOS).mean() > 0.9


def test_what_is_withheld_is_not_known(data):
    """Of the last review, fold 0, nothing is in the sums."""
    config = TrainConfig()
    whole, rest = (
        add_up(config, view, head_of(config, view)).gram for view in (data, data.without_fold(0))
    )
    # Every review but a user's first has a predecessor, and a row of length 1.
    assert np.trace(whole) == pytest.approx(USERS * (LONG - 1) / LONG)
    assert np.trace(rest) == pytest.approx(USERS * (LONG - 2) / (LONG - 1))


def test_nothing_follows_where_the_order_is_unknown(tmp_path):
    """Those users are as if they were not there; where all are so, there are no transitions."""
    half, rest, none = (
        open_data(tmp_path / f"{users} {dated}", users=users, dated=dated)
        for users, dated in ((USERS, USERS // 2), (USERS // 2, USERS), (USERS, 0))
    )
    config = TrainConfig()
    found, expected = (add_up(config, data, head_of(config, half)) for data in (half, rest))
    np.testing.assert_allclose(found.gram, expected.gram, atol=1e-9)
    np.testing.assert_allclose(found.cross, expected.cross, atol=1e-9)
    assert transitions.fit(config, none) is None


def test_order_counts_where_it_says_something(data, tmp_path):
    assert searched(data).choose(share_of(0.5), data.validation).of("transitions") > 0
    shuffled = open_data(tmp_path, in_order=False)
    choice = searched(shuffled).choose(share_of(0.5), shuffled.validation)
    assert choice.of("transitions") == 0


def test_what_comes_next_is_not_asked_of_likes_that_came_before(data, tmp_path):
    """Where the fold is drawn at random; and what nobody knows the order of says nothing of it."""
    half, drawn, none = (
        open_data(tmp_path / name, **how)
        for name, how in (
            ("half", {"dated": USERS // 2}),
            ("drawn", {"latest": False}),
            ("none", {"dated": 0}),
        )
    )
    assert [each.asks_next for each in (data, half, drawn, none)] == [True, True, False, False]
    assert [transitions.applies(TrainConfig(), each) for each in (data, drawn)] == [True, False]
    assert transitions.fit(TrainConfig(), data.without_fold(0)) is not None


def test_towers_without_transitions_carry_no_block_of_theirs(data):
    ensemble = searched(data)
    assert recency_of(data) in ensemble.towers(share_of(0.5, transitions=0.4)).layout.user
    towers = ensemble.towers(share_of(0.5))
    assert [block.kind for block in towers.layout.user] == [
        block.kind for block in data.layout.user if block.kind != "recency"
    ]
    assert towers.layout.layout_hash == data.layout.layout_hash


def test_the_trained_towers_leave_the_order_alone(data):
    fit = Fit(TrainConfig(), data.without_fold(0), epochs=1)
    fit.epoch(lambda _: None)
    kinds = [block.kind for block in data.layout.user]
    assert "recency" in kinds
    assert [block.kind for block in fit.towers.layout.user] == kinds[: kinds.index("recency")]
    items = np.ones((len(data.items), 128))
    users = of_towers(fit.towers, items, data.layout).user
    block = recency_of(data)
    assert not users[block.offset : block.offset + block.width].any()
    slots = fit.data.read(np.arange(40)).slots
    vectors = design(data.layout, data.read(np.arange(40)).slots) @ users
    expected = fit.towers.forward_sparse("user", slots).detach().numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
