import numpy as np
import pytest
import torch
from scipy import sparse

from training.test_ease import open_data
from two_tower.core.train_config import TrainConfig
from two_tower.model.linear_map import design
from two_tower.training import cold_start as content_module
from two_tower.training import ensemble as ensemble_module
from two_tower.training.cold_start import Content, place, read_content, ridge, unit
from two_tower.training.data.validation import least_gain
from two_tower.training.ensemble import Choice, Ensemble
from two_tower.training.experts import ease, session_ease, towers
from two_tower.training.experts.towers import Fit, Schedule, Trained

SHARES = towers.weights
SHARE = SHARES[0]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(
        tmp_path_factory.mktemp("ensemble"),
        # A number among the content, far from zero.
        "insert into two_tower.feature_layout"
        " values (7, 'item', 'price', 'numeric', 3, null, 1, 'planted')",
        "update two_tower.item_feature_slots set feature_ids = list_append(feature_ids, 7),"
        ' indices = list_append(indices, 0), "values" = list_append("values", 7 + item_number % 5)',
    )


def share_of(towers, **weights):
    return Choice({"towers": towers, **weights})


def ensemble_of(data, epochs=1, others=(session_ease,), **settings):
    """Return towers of so many epochs, the closed form, and other experts."""
    config = TrainConfig(ridge=1.0, **settings)
    fit = Fit(config, data, epochs=2 if epochs == 1 else epochs)
    for _ in range(epochs):
        fit.epoch(lambda _: None)
    trained = Trained(fit.towers, Schedule(epochs, 0.2), [], 0, 0).as_map(data, data.known)
    parts = [(ease, ease.fit(config, data)), (towers, trained)]
    solved = [(each, each.fit(config, data)) for each in others if each.applies(config, data)]
    return Ensemble(config, data, parts + [(each, part) for each, part in solved if part])


@pytest.mark.parametrize("columns", [12, 90])
@pytest.mark.parametrize(("factorised", "tolerance"), [(100, 1e-6), (0, 5e-3)])
def test_ridge_is_the_solution_of_the_normal_equations(columns, factorised, tolerance, monkeypatch):
    """With fewer columns than rows, and with more; one has nothing in it."""
    monkeypatch.setattr(content_module, "MAX_FACTORISED", factorised)
    rng = np.random.default_rng(0)
    matrix = (rng.random((40, columns)) < 0.3) * rng.random((40, columns))
    matrix[:, 5] = 0
    target, weights = rng.normal(size=(40, 3)), rng.random(40)
    solved = ridge(sparse.csr_array(matrix), target, weights)
    for penalty in (0.7, 7.0):
        found = solved(penalty)
        left = matrix.T @ (weights[:, None] * matrix) + penalty * np.eye(columns)
        expected = np.linalg.solve(left, matrix.T @ (weights[:, None] * target))
        np.testing.assert_allclose(found, expected, atol=tolerance)
        assert not found[5].any()


def test_ridge_of_many_videos_is_exact():
    """One token is all of a block of two: without the penalty there would be no inverse."""
    rng = np.random.default_rng(0)
    first = rng.random(100_000) < 0.3
    matrix = np.stack([np.ones(len(first)), first, ~first], axis=1)
    target, weights = rng.normal(size=(len(first), 2)), rng.pareto(1.5, len(first)) + 0.1
    found = ridge(sparse.csr_array(matrix), target, weights)(3.0)
    left = matrix.T @ (weights[:, None] * matrix) + 3 * np.eye(3)
    expected = np.linalg.solve(left, matrix.T @ (weights[:, None] * target))
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_ridge_on_nothing_is_nothing():
    found = ridge(sparse.csr_array((4, 3)), np.ones((4, 2)), np.ones(4))(3.0)
    assert not found.any()
    assert found.shape == (3, 2)


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_towers_score_as_the_sum_of_the_maps(data, share):
    ensemble = ensemble_of(data)
    towers = ensemble.towers(share_of(share))
    users = data.read(np.arange(len(data.users)))
    rows = np.flatnonzero(ensemble.known)
    with torch.no_grad():
        queries = towers.forward_sparse("user", users.slots).numpy()
        videos = towers.forward_sparse("item", data.items.slots).numpy()
    summed = ensemble.at(share_of(share))
    expected = (design(data.layout, users.slots) @ summed.user) @ summed.item.T
    for user in range(len(users)):
        found, wanted = queries[user] @ videos[rows].T, expected[user, rows]
        assert np.corrcoef(found, wanted)[0, 1] > 1 - 1e-5


def test_shares_are_measured_once(data, monkeypatch):
    """The best of one choice is the first of the next."""
    measured = []

    def validate(*_):
        measured.append(1)
        return {"ndcg@100": 0.5}

    monkeypatch.setattr(ensemble_module, "validate", validate)
    ensemble, rows = ensemble_of(data), data.validation
    assert ensemble.choose_towers(rows, False)[0] == share_of(SHARE)
    assert ensemble.choose_towers(rows, True)[0] == share_of(1)
    choice = ensemble.choose(share_of(SHARE), rows)
    assert choice.of("session_ease") == session_ease.weights[0]
    assert len(measured) == len(SHARES) + len(session_ease.weights) - 1


@pytest.mark.parametrize("best", SHARES)
@pytest.mark.parametrize("distilled", [False, True])
def test_another_share_is_taken_where_it_gains_more_than_chance(data, monkeypatch, best, distilled):
    ensemble, first = ensemble_of(data), 1.0 if distilled else SHARE
    least = least_gain(len(data.validation))
    for gain, expected in ((0.9 * least, first), (1.1 * least, best)):
        for share in SHARES:
            found = 0.5 * (1 + gain) if share == best != first else 0.5
            ensemble.found[0.0, share, 0.0] = {"ndcg@100": found}
        assert ensemble.choose_towers(data.validation, distilled)[0] == share_of(expected)


@pytest.mark.parametrize(("others", "share"), [(0.3, SHARE), (0.29, 1.0)])
def test_distilled_towers_are_joined_where_no_metric_loses(data, others, share):
    ensemble = ensemble_of(data)
    for each in SHARES:
        ensemble.found[0.0, each, 0.0] = {"ndcg@100": 0.5, "recall@20": 0.3}
    ensemble.found[0.0, SHARE, 0.0] = {"ndcg@100": 0.52, "recall@20": others}
    assert ensemble.choose_towers(data.validation, True)[0] == share_of(share)
    assert ensemble.choose_towers(data.validation, False)[0] == share_of(SHARE)


@pytest.mark.parametrize("is_small", [True, False])
def test_shares_of_many_videos_are_judged_at_the_embeddings_rank(data, monkeypatch, is_small):
    monkeypatch.setattr(ensemble_module, "MOST_LIKED", 50 if is_small else 49)
    ranks = []

    def validate(_encode, vectors, *_):
        ranks.append(vectors.shape[1])
        return {"ndcg@100": 0.5}

    monkeypatch.setattr(ensemble_module, "validate", validate)
    ensemble = ensemble_of(data)
    ensemble.config = ensemble.config.model_copy(update={"dim": 6})
    ensemble.choose_towers(data.validation, False)
    assert all(rank == 5 for rank in ranks) is not is_small


def test_a_new_video_lies_by_those_of_its_content(data):
    """Videos 50 to 59 have no id; their tag says which group they are of."""
    towers = ensemble_of(data).towers(Choice({"towers": 0.5}, 1.0, 1.0))
    with torch.no_grad():
        videos = towers.forward_sparse("item", data.items.slots).numpy()
    cosines = videos[50:] @ videos[:50].T
    same = np.arange(50, 60)[:, None] % 3 == np.arange(50)[None] % 3
    for row, alike in zip(cosines, same, strict=True):
        assert row[alike].mean() > row[~alike].mean() + 0.05


def test_a_boost_raises_new_videos_and_leaves_the_known_ones(data):
    ensemble = ensemble_of(data)
    low, high = (ensemble.towers(Choice({"towers": 0.5}, 1.0, boost)) for boost in (0.5, 1.5))
    with torch.no_grad():
        first, second = (t.forward_sparse("item", data.items.slots).numpy() for t in (low, high))
        users = low.forward_sparse("user", data.read(np.arange(100)).slots).numpy()
    assert np.allclose(first[:50], second[:50], atol=1e-5)
    best = [(users @ vectors[50:].T).max(axis=1).mean() for vectors in (first, second)]
    assert best[1] > best[0] * 1.2


def test_a_number_far_from_zero_does_not_drown_the_rest(data):
    content = read_content(data.layout, data.items)
    column = content.matrix[:, [data.layout.item[-1].offset]].toarray()
    assert abs(column.mean()) < 1e-6
    assert column.std() == pytest.approx(1, abs=1e-6)
    assert not content.matrix[:, np.flatnonzero(data.items.is_identity)].count_nonzero()
    vectors = unit(np.random.default_rng(0).normal(size=(60, 8)))
    placing = place(content, vectors, np.arange(50), np.ones(50))(3.0).boosted(
        1.0, content, np.arange(50)
    )
    lengths = np.linalg.norm(placing.of(content), axis=1)
    assert abs(lengths.mean() - 1) < 0.1


def test_tokens_of_a_block_have_a_part_in_common():
    """Every other video has a maker, each another one; the last is one that nobody learns from."""
    makers = sparse.csr_array(np.repeat(np.eye(20), 2, axis=0) * (np.arange(40) % 2)[:, None])
    content = Content(makers, np.zeros(20), np.ones(20), sparse.csr_array(np.ones((20, 1))))
    vectors = (np.arange(40.0) % 2)[:, None]
    found = place(content, vectors, np.arange(38), np.ones(38))(1.0).of(content)
    assert found[38] < 0.2
    assert found[39] > 0.8


def test_blocks_of_content_are_those_of_tokens(data):
    content = read_content(data.layout, data.items)
    of_tokens = [block for block in data.layout.item if block.kind in ("one_hot", "multi_hot")]
    assert content.blocks.sum(axis=0).tolist() == [block.width for block in of_tokens]
    for number, block in enumerate(of_tokens):
        inside = content.blocks[block.offset : block.offset + block.width, [number]]
        assert inside.sum() == block.width


def test_novelty_lowers_what_everybody_likes(data):
    popular = data.like_counts >= np.median(data.like_counts[:50])
    shares = []
    for novelty in (0.0, 0.5):
        towers = ensemble_of(data, novelty=novelty).towers(share_of(0.5))
        with torch.no_grad():
            users = towers.forward_sparse("user", data.read(np.arange(100)).slots)
            videos = towers.forward_sparse("item", data.items.slots)
        best = (users @ videos.T)[:, :50].topk(10, dim=1).indices.numpy()
        shares.append(popular[best].mean())
    assert shares[1] < shares[0] - 0.03
