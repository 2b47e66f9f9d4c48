import numpy as np
import pytest
from scipy import linalg, sparse

from training.test_ease import open_data
from two_tower.core.train_config import TrainConfig
from two_tower.training.experts import ease, solver, weighted_svd
from two_tower.training.experts.ease import add_up, as_factors, leading, solve
from two_tower.training.experts.solver import Solver
from two_tower.training.experts.weighted_svd import sharpened, weighted_users

RANK, PLACES = 6, 10


@pytest.fixture(scope="module")
def problem():
    """Histories of many users, and the regression on them, of which six dimensions miss a lot."""
    rng = np.random.default_rng(0)
    users = sparse.csr_array((rng.random((400, 60)) < 0.15).astype(np.float64))
    gram = (users.T @ users).toarray()
    inverse = linalg.inv(gram + 2 * np.eye(60))
    solution = inverse / -np.diag(inverse)
    np.fill_diagonal(solution, 0)
    return solution, gram, users


def errors(problem, user, item):
    """Return the mean square error of each user's highest scores, and of the others."""
    solution, _, users = problem
    scores = users @ solution
    square = ((users @ user) @ item.T - scores) ** 2
    highest = scores >= np.sort(scores)[:, -PLACES, None]
    return square[highest].mean(), square[~highest].mean()


def test_the_highest_scores_of_each_user_are_nearer_than_those_of_the_nearest_map(
    problem, monkeypatch
):
    monkeypatch.setattr(weighted_svd, "PLACES", PLACES)
    solution, gram, users = problem
    basis = leading(solution, gram, RANK)
    before = errors(problem, solution @ basis, basis)
    after = errors(problem, *sharpened(solution, basis, gram, 2.0, users))
    assert after[0] < 0.9 * before[0]
    assert after[1] > before[1], "what the highest gain the others pay"


def test_where_all_scores_count_the_same_it_is_the_nearest_map(problem, monkeypatch):
    monkeypatch.setattr(weighted_svd, "OTHERS", 1.0)
    monkeypatch.setattr(ease, "ROUNDS", 8)
    solution, gram, users = problem
    basis = leading(solution, gram, RANK)
    user, item = sharpened(solution, basis, gram, 2.0, users)
    np.testing.assert_allclose(user @ item.T, solution @ basis @ basis.T, atol=1e-4)


def test_more_steps_come_nearer(problem, monkeypatch):
    monkeypatch.setattr(weighted_svd, "PLACES", PLACES)
    solution, gram, users = problem
    basis = leading(solution, gram, RANK)
    weighted = []
    for steps in (1, 3, 6):
        monkeypatch.setattr(weighted_svd, "STEPS", steps)
        highest, others = errors(problem, *sharpened(solution, basis, gram, 1e-3, users))
        weighted.append(highest * PLACES + weighted_svd.OTHERS * others * (60 - PLACES))
    assert weighted[0] > weighted[1] > weighted[2]


@pytest.mark.parametrize("withhold", [False, True])
def test_the_users_weigh_what_they_weigh_in_the_regression(tmp_path, withhold):
    data = open_data(tmp_path)
    settings = TrainConfig()
    found = Solver(settings, data)
    users = weighted_users(data, found.tower, withhold, found.base.head)
    sums = add_up(settings, data, found.tower, withhold, found.base.head)
    np.testing.assert_allclose((users.T @ users).toarray(), sums.gram, atol=1e-9)


def test_a_closed_form_of_many_videos_is_sharpened_where_all_its_scores_fit(tmp_path, monkeypatch):
    data = open_data(tmp_path)
    settings = TrainConfig(dim=8)
    found = Solver(settings, data)
    base = found.base
    sums = add_up(settings, data, found.tower, False, base.head)
    solution = solve(sums, 5.0, base.prior)
    plain = as_factors(settings, data, base.head, sums, solution)
    users = weighted_users(data, found.tower, False, base.head)
    user, item = sharpened(solution, leading(solution, sums.gram, 8), sums.gram, 5.0, users)
    monkeypatch.setattr(solver, "MOST_LIKED", len(base.head.items) - 1)
    closed = found.closed(False, 5.0)
    assert closed.rank == 8
    np.testing.assert_allclose(closed.item[base.head.items], item, atol=1e-6)
    np.testing.assert_allclose(closed.user[base.head.columns[0]], user, atol=1e-6)
    cells = len(data.likers) * len(base.head.items)
    for name, limit in (("MAX_CELLS", cells - 1), ("MOST_LIKED", len(base.head.items))):
        with monkeypatch.context() as patch:
            patch.setattr(solver, name, limit)
            closed = found.closed(False, 5.0)
        np.testing.assert_allclose(
            closed.user @ closed.item.T, plain.user @ plain.item.T, atol=1e-9
        )
