"""People who keep to one topic while they sit, and come back another day for another one."""

from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

import training_tables
from training.test_ensemble import ensemble_of, share_of
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.training.experts import ease, regression, session_ease

VIDEOS, USERS, TOPIC, DAYS = training_tables.WITH_ID, 200, 5, 5
LONG = TOPIC * DAYS
EVERY_FIFTH = 5


@pytest.fixture(autouse=True)
def _a_topic_is_a_session(monkeypatch):
    monkeypatch.setattr(session_ease, "RUN", TOPIC)


def open_data(folder, in_order=True, users=USERS, dated=USERS):
    """Users with five topics of ten, day after day; or with the same videos in any order.

    Of those after the first ``dated`` nobody knows the order.
    """
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse, users=0)
    rng = np.random.default_rng(3)
    for user in range(users):
        topics = rng.choice(VIDEOS // TOPIC, DAYS, replace=False)
        days = [topic * TOPIC + rng.permutation(TOPIC) for topic in topics]
        videos = np.concatenate(days) if in_order else rng.permutation(np.concatenate(days))
        labels = (rng.random(LONG) < 0.8).astype(int)
        folds = rng.integers(0, EVERY_FIFTH, LONG)
        training_tables.insert_in_turn(
            warehouse, f"u{user:04d}", videos, labels, folds, dated=user < dated
        )
    return training_tables.read(warehouse, folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(tmp_path_factory.mktemp("ordered"))


def test_a_session_is_a_run_of_reviews_of_one_user():
    """The second phase begins in the middle of the first; an unknown review is in nobody's way."""
    ranks = np.array([6, 5, 4, 3, 2, 1, 0, 1, 0])
    users = SimpleNamespace(rows=np.repeat([0, 1], [7, 2]), recency_ranks=ranks)
    known = ranks != 4
    first, second = (session_ease.sessions(users, known, phase) for phase in (0, 1))
    assert first[known].tolist() == [0, 0, 0, 0, 0, 1, 2, 2]
    assert second[known].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("withhold", [False, True])
def test_the_rows_of_the_regression_are_sessions(data, withhold, monkeypatch):
    monkeypatch.setattr(regression, "CHUNK_REVIEWS", 37 * LONG)  # several chunks
    config, view = TrainConfig(), data.without_fold(0) if withhold else data
    found = session_ease.add_up(config, view, session_ease.head_of(config, view))
    gram, cross, reviews = np.zeros((100, 100)), np.zeros((100, 50)), 0
    grades = training_tables.LIKE**2, training_tables.DISLIKE**2
    users = data.read(np.arange(USERS))
    for user in range(USERS):
        here = (users.rows == user) & ~(withhold & (users.folds == 0))
        order = np.argsort(-users.recency_ranks[here])
        videos, liked = users.items[here][order], users.liked[here][order]
        reviews += len(videos)
        cuts = [np.arange(0, LONG + TOPIC, TOPIC), np.arange(-(TOPIC // 2), LONG + TOPIC, TOPIC)]
        for starts in cuts:
            for start in starts:
                part = slice(max(start, 0), max(start + TOPIC, 0))
                row = np.zeros((3, 50))
                row[1, videos[part]] = 1
                row[::2, videos[part]] = np.where(liked[part], *grades)
                row /= np.maximum(np.linalg.norm(row, axis=1, keepdims=True), 1e-9)
                row, target = row[:2], row[2]
                weight = len(videos[part]) / 2
                gram += weight * np.outer(row.ravel(), row.ravel())
                cross += weight * np.outer(row.ravel(), target)
    mean = reviews / USERS
    np.testing.assert_allclose(found.gram, gram / mean, atol=1e-6)
    np.testing.assert_allclose(found.cross, cross / mean, atol=1e-6)


def test_reviews_of_unknown_order_are_in_no_session(tmp_path, monkeypatch):
    """Those users are as if they were not there; where all are so, there are no sessions."""
    monkeypatch.setattr(regression, "CHUNK_REVIEWS", 37 * LONG)  # some chunks without order
    half, rest, none = (
        open_data(tmp_path / f"{users} {dated}", users=users, dated=dated)
        for users, dated in ((USERS, USERS // 2), (USERS // 2, USERS), (USERS, 0))
    )
    config = TrainConfig(ridge=1.0)
    head = session_ease.head_of(config, half)
    found, expected = (session_ease.add_up(config, data, head) for data in (half, rest))
    np.testing.assert_allclose(found.gram, expected.gram, atol=1e-9)
    np.testing.assert_allclose(found.cross, expected.cross, atol=1e-9)
    assert session_ease.fit(config, none) is None
    assert ease.fit(config, none) is not None


def searched(data):
    return ensemble_of(data.without_fold(0), epochs=4)


def ranked_by_sessions(ensemble, data):
    alone = ensemble.at(share_of(0.5, session_ease=1.0))
    return ensemble._validate(alone, data.validation)["ndcg@100"]


def test_sessions_count_where_they_say_something(data, tmp_path):
    """The same users in any order: then a session is but a part of a user, and says less."""
    ensemble, shuffled = searched(data), open_data(tmp_path, in_order=False)
    found = [
        ensemble._validate(ensemble.at(share_of(0.5, session_ease=share)), data.validation)
        for share in (0.0, 0.15)
    ]
    assert found[1]["ndcg@100"] > 1.003 * found[0]["ndcg@100"]
    less = ranked_by_sessions(searched(shuffled), shuffled)
    assert ranked_by_sessions(ensemble, data) > 1.05 * less


@pytest.mark.parametrize(("gain", "share"), [(-0.1, 0.15), (0.004, 0.15), (0.006, 0.0)])
def test_the_default_share_stays_unless_another_gains_more_than_chance(
    data, monkeypatch, gain, share
):
    ensemble = searched(data)
    found = {0.15: 0.5, 0.0: 0.5 * (1 + gain), 0.3: 0.1}
    monkeypatch.setattr(ensemble, "at", lambda choice: choice.of("session_ease"))
    monkeypatch.setattr(ensemble, "_validate", lambda at, *_: {"ndcg@100": found[at]})
    assert ensemble.choose(share_of(0.5), data.validation).of("session_ease") == share
