import duckdb
import numpy as np
import pytest

import training_tables
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.model.layout import SHRINKAGE
from two_tower.model.linear_map import LinearMap
from two_tower.training.experts import ease, ridge_search, session_ease, transitions
from two_tower.training.experts.ease import LIKENESS, add_up, precision, solve
from two_tower.training.experts.regression import Sums, find_head, leading


def open_data(folder, *statements):
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse)
    for statement in statements:
        warehouse.execute(statement)
    return training_tables.read(warehouse, folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_video_is_regressed_on_all_columns_but_its_own(blocks):
    rng = np.random.default_rng(0)
    size, users = 7, 60
    inputs = (rng.random((users, size * blocks)) < 0.4) * rng.random((users, 1))
    targets = (rng.random((users, size)) < 0.4).astype(float)
    weights = rng.random(users)[:, None]
    sums = Sums(inputs.T @ (weights * inputs), inputs.T @ (weights * targets))
    half = rng.normal(size=(size, size))
    precision = np.eye(size) + half @ half.T
    found = solve(sums, 0.5, precision)
    penalty = np.kron(0.5 * np.eye(blocks), precision)
    for item in range(size):
        rest = np.setdiff1d(np.arange(size * blocks), item + size * np.arange(blocks))
        z = inputs[:, rest]
        one = np.linalg.solve(
            z.T @ (weights * z) + penalty[np.ix_(rest, rest)],
            z.T @ (weights[:, 0] * targets[:, item]),
        )
        np.testing.assert_allclose(found[rest, item], one, atol=1e-9)
        assert not np.delete(found[:, item], rest).any()


def test_the_leading_directions_are_the_eigenvectors():
    rng = np.random.default_rng(1)
    solution = rng.normal(size=(40, 20)) * np.exp(-np.arange(20))
    half = rng.normal(size=(60, 40))
    gram = half.T @ half
    found = leading(solution, gram, 5)
    _, vectors = np.linalg.eigh(solution.T @ gram @ solution)
    overlap = np.linalg.svd(found.T @ vectors[:, -5:])[1]
    np.testing.assert_allclose(overlap, 1, atol=1e-6)


def test_the_head_is_what_is_liked_most_and_known_to_the_histories(data):
    blocks = [block for block in data.layout.user if block.kind == "history"]
    head = find_head(data, 10, blocks)
    counts = data.like_counts.copy()
    counts[data.items.identity < 0] = 0
    assert sorted(counts[head.items]) == sorted(counts)[-10:]
    expected = [block.offset + data.items.identity[head.items] for block in blocks]
    assert np.array_equal(head.columns, expected)


def test_what_is_reviewed_and_never_liked_is_in_the_head_behind_what_is_liked(tmp_path):
    """What is to be found are reviews, as far as they are relevant."""
    never = "[case when x[2] = 7 then 0 else x[1] end for x in list_zip(labels, item_numbers)]"
    data = open_data(tmp_path, f"update two_tower.training_users set labels = {never}")
    assert data.like_counts[7] == 0 < data.review_counts[7]
    blocks = [block for block in data.layout.user if block.kind == "history"]
    assert 7 in find_head(data, 50, blocks).items
    assert 7 not in find_head(data, 49, blocks).items


def test_what_is_withheld_is_not_known(data, tmp_path):
    """Sums with the validation fold withheld are those of tables that never had it."""
    lists = ("item_numbers", "labels", "weights", "relevances", "folds", "recency_ranks")
    kept = ", ".join(f"[x[1] for x in list_zip({name}, folds) if x[2] > 0]" for name in lists)
    without = open_data(
        tmp_path,
        "create table gone as select user_id, unnest([x[1] for x in list_zip(item_numbers, folds)"
        " if x[2] = 0]) as item from two_tower.training_users",
        "create table pairs as select user_id, unnest(feature_ids) as f, unnest(indices) as i,"
        ' unnest("values") as v from two_tower.training_users',
        "create table slots as select user_id, array_agg(f) as f, array_agg(i) as i,"
        " array_agg(v) as v from pairs where not (f in (3, 4) and exists (select 1 from gone"
        " where gone.user_id = pairs.user_id and gone.item = pairs.i)) group by user_id",
        "create table rest as select u.user_id, f, i, v, " + kept + " from two_tower.training_users"
        " as u join slots on slots.user_id = u.user_id",
        "delete from two_tower.training_users",
        "insert into two_tower.training_users from rest",
    )
    config = TrainConfig()
    head = find_head(data, 100, list(data.layout.user[2:4]))
    withheld = add_up(config, data.without_fold(0), head)
    expected = add_up(config, without, head)
    np.testing.assert_allclose(withheld.gram, expected.gram, atol=1e-6)
    np.testing.assert_allclose(withheld.cross, expected.cross, atol=1e-6)
    whole = add_up(config, data, head)
    assert not np.allclose(whole.cross, withheld.cross)


def test_a_review_is_regressed_as_much_as_it_is_relevant(data):
    """Rows of ``Z`` with one video say which targets there are: its own column of ``Z'WX``."""
    head = find_head(data, 100, list(data.layout.user[2:4]))
    sums = add_up(TrainConfig(), data, head)
    gram, cross = np.zeros((100, 100)), np.zeros((100, 50))
    users = data.read(np.arange(training_tables.USERS))
    weights = []
    for user in range(training_tables.USERS):
        videos, liked = users.items[users.rows == user], users.liked[users.rows == user]
        rows = np.zeros((3, training_tables.VIDEOS))
        rows[1, videos] = 1
        rows[::2, videos] = np.where(liked, training_tables.LIKE**2, training_tables.DISLIKE**2)
        norms = np.sqrt((rows[:, :50] ** 2).sum(axis=1) + SHRINKAGE)  # histories know no others
        norms[2] = np.linalg.norm(rows[2])
        rows /= norms[:, None]
        weights.append(np.sqrt(len(videos)))
        inputs = rows[:2, :50].ravel()
        gram += weights[-1] * np.outer(inputs, inputs)
        cross += weights[-1] * np.outer(inputs, rows[2, :50])
    np.testing.assert_allclose(sums.gram, gram / np.mean(weights), atol=1e-6)
    np.testing.assert_allclose(sums.cross, cross / np.mean(weights), atol=1e-6)


def test_likes_are_found_from_the_rest_of_a_history(data):
    factors = ease.fit(TrainConfig(ridge=1.0), data)
    assert factors is not None
    assert factors.user.shape == (data.layout.feature_dim("user") + 1, 50)
    # Everybody likes the videos of one group of three.
    same = np.arange(50)[:, None] % 3 == np.arange(50)[None] % 3
    np.fill_diagonal(same, False)
    other = ~same & ~np.eye(50, dtype=bool)
    first, second = (
        factors.user[block.offset : block.offset + 50]
        for block in data.layout.user
        if block.kind == "history"
    )
    found = first @ factors.item[:50].T
    assert not second.any()
    assert found[same].mean() > found[other].mean() + 0.02


def test_videos_of_one_content_are_expected_to_mean_the_same(data):
    """The content of these videos is one tag each, of three."""
    kernel = np.linalg.inv(precision(data, np.arange(50)))
    same = np.arange(50)[:, None] % 3 == np.arange(50)[None] % 3
    np.testing.assert_allclose(kernel, np.eye(50) + LIKENESS * same, atol=1e-9)


def test_the_penalty_is_the_one_that_validation_likes_best(data, monkeypatch):
    """Nobody is ranked well where a penalty leaves no more than noise of a map."""
    view = data.without_fold(0)

    def choose(rows, **settings):
        return ridge_search.choose_ridge(TrainConfig(**settings), view, rows)

    for first, higher, lower in ((2.0, (1e9,), ()), (1e9, (), (2.0,)), (1e9, (2.0,), (1.0,))):
        monkeypatch.setattr(ridge_search, "RIDGE", first)
        monkeypatch.setattr(ridge_search, "HIGHER", higher)
        monkeypatch.setattr(ridge_search, "LOWER", lower)
        ridge, head, factors, solution = choose(data.validation)
        assert ridge == 2.0
        expected = ease.fit(TrainConfig(ridge=2.0), view)
        np.testing.assert_allclose(
            factors.user @ factors.item.T, expected.user @ expected.item.T, atol=1e-9
        )
        # Fifty videos have the rank of the embeddings.
        places = head.columns.ravel()
        np.testing.assert_allclose(factors.user[places] @ factors.item[:50].T, solution, atol=1e-9)
    given = choose(data.validation, ridge=5.0)
    assert given.ridge == 5.0
    assert not np.allclose(given.solution, solution)
    nobody = np.empty(0, dtype=np.int64)
    assert choose(nobody)[::2] == (ridge_search.RIDGE, None)
    assert choose(nobody).solution is None
    assert choose(nobody, ridge=7.0)[::2] == (7.0, None)
    assert choose(nobody, ridge=7.0).solution is None


@pytest.mark.parametrize(
    ("metrics", "ridge"),
    [
        ({5: 0.3, 15: 0.304, 45: 0.304}, 15),
        ({5: 0.3, 15: 0.304, 45: 0.31}, 45),
        ({5: 0.3, 15: 0.301, 2: 0.301}, 5),
        ({5: 0.3, 15: 0.2, 2: 0.304, 0.8: 0.3}, 2),
        ({5: 0.3, 15: 0.2, 2: 0.304, 0.8: 0.31}, 0.8),
        ({5: 0.0, 15: 0.0, 2: 0.0}, 5),
    ],
)
def test_another_penalty_has_to_gain_more_than_chance(data, monkeypatch, metrics, ridge):
    """Those that have no figure here must not be tried."""
    assert chosen(data, monkeypatch, metrics, {}) == ridge


@pytest.mark.parametrize(("few", "ridge"), [(0.101, 2), (0.099, 2), (0.097, 5)])
def test_a_lower_penalty_must_not_cost_new_people_what_others_gain(data, monkeypatch, few, ridge):
    metrics = {5: 0.3, 15: 0.2, 2: 0.306, 0.8: 0.3}
    if ridge == 5:
        del metrics[0.8]
    assert chosen(data, monkeypatch, metrics, {5: 0.1, 2: few}) == ridge


def test_a_higher_penalty_asks_people_with_a_history_alone(data, monkeypatch):
    assert chosen(data, monkeypatch, {5: 0.3, 15: 0.304, 45: 0.304}, {5: 0.1, 15: 0.01}) == 15


def chosen(data, monkeypatch, metrics, few_metrics) -> float:
    """Choose by these figures of penalties: for people with a history, and with few likes."""
    tried = []

    def solve(_sums, ridge, _prior):
        tried.append(ridge)
        return ridge

    def low_rank(*given):
        return LinearMap(np.zeros((1, 1)), np.array([[given[-1]]]))

    def validate(_encode, vectors, _data, _rows, _known, few):
        ridge = round(float(vectors[0, 0]), 1)
        return {"ndcg@100": metrics[ridge] if few is None else few_metrics.get(ridge, 0.1)}

    monkeypatch.setattr(ridge_search, "solve", solve)
    monkeypatch.setattr(ridge_search, "low_rank", low_rank)
    monkeypatch.setattr(ridge_search, "validate", validate)
    ridge = ridge_search.choose_ridge(TrainConfig(), data.without_fold(0), data.validation).ridge
    assert tried == [each for each in (5, 15, 45, 2, 0.8) if each in metrics]
    return ridge


def test_without_histories_there_is_no_closed_form(tmp_path):
    data = open_data(tmp_path, "delete from two_tower.feature_layout where kind = 'history'")
    assert not any(each.applies(TrainConfig(), data) for each in (ease, session_ease, transitions))


def test_of_a_large_catalogue_sessions_are_those_of_the_most_liked(data, monkeypatch):
    view = data.without_fold(0)
    tried = ridge_search.choose_ridge(TrainConfig(), view, data.validation)
    assert len(tried.head) == len(ease.head_of(TrainConfig(), view))
    monkeypatch.setattr(ridge_search, "MOST_LIKED", 20)
    monkeypatch.setattr(session_ease, "MOST_LIKED", 20)
    assert len(ridge_search.choose_ridge(TrainConfig(), view, data.validation).head) == 20
    config = TrainConfig(ridge=1.0)
    found = [each.fit(config, view) for each in (ease, session_ease)]
    known = [np.flatnonzero(part.item.any(axis=1)) for part in found]
    assert [len(part) for part in known] == [training_tables.WITH_ID, 20]
    others = np.setdiff1d(known[0], known[1])
    assert data.like_counts[known[1]].min() >= data.like_counts[others].max()


def test_sessions_keep_to_the_videos_of_the_closed_form(data):
    config = TrainConfig(closed_form_items=15)
    assert [len(each.head_of(config, data)) for each in (ease, session_ease)] == [15, 15]
