import numpy as np
import pytest
from scipy import linalg, sparse

from training.test_ease import open_data
from two_tower.core.train_config import TrainConfig
from two_tower.training.experts import ease
from two_tower.training.experts.ease import add_up, head_of, precision, rows_of, solve
from two_tower.training.experts.regression import leading, low_rank
from two_tower.training.experts.weighted_svd import weighted_svd as reduce
from two_tower.training.experts.weighted_svd import weighted_users

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
    problem,
):
    solution, gram, users = problem
    basis = leading(solution, gram, RANK)
    before = errors(problem, solution @ basis, basis)
    after = errors(problem, *reduce(solution, basis, gram, 2.0, users, PLACES))
    assert after[0] < 0.9 * before[0]
    assert after[1] > before[1], "what the highest gain the others pay"


def test_where_all_scores_count_the_same_it_is_the_nearest_map(problem):
    solution, gram, users = problem
    basis = leading(solution, gram, RANK, rounds=8)
    user, item = reduce(solution, basis, gram, 2.0, users, others=1.0)
    np.testing.assert_allclose(user @ item.T, solution @ basis @ basis.T, atol=1e-4)


def test_more_steps_come_nearer(problem):
    solution, gram, users = problem
    basis = leading(solution, gram, RANK)
    weighted = []
    for steps in (1, 3, 6):
        found = reduce(solution, basis, gram, 1e-3, users, PLACES, 0.1, steps)
        highest, others = errors(problem, *found)
        weighted.append(highest * PLACES + 0.1 * others * (60 - PLACES))
    assert weighted[0] > weighted[1] > weighted[2]


@pytest.mark.parametrize("withhold", [False, True])
def test_the_users_weigh_what_they_weigh_in_the_regression(tmp_path, withhold):
    data = open_data(tmp_path)
    settings, view = TrainConfig(), data.without_fold(0) if withhold else data
    head = head_of(settings, view)
    users = weighted_users(rows_of(view, head, view.fitted))
    sums = add_up(settings, view, head)
    np.testing.assert_allclose((users.T @ users).toarray(), sums.gram, atol=1e-9)


def test_a_closed_form_of_many_videos_is_weighted_where_all_its_scores_fit(tmp_path, monkeypatch):
    data = open_data(tmp_path)
    settings = TrainConfig(dim=8)
    head = head_of(settings, data)
    sums = add_up(settings, data, head)
    solution = solve(sums, 5.0, precision(data, head.items))
    plain = low_rank(settings, data, head, sums, solution)
    users = weighted_users(rows_of(data, head, data.fitted))
    user, item = reduce(solution, leading(solution, sums.gram, 8), sums.gram, 5.0, users)
    monkeypatch.setattr(ease, "MOST_LIKED", len(head) - 1)
    closed = ease.fit(settings, data)
    assert closed.rank == 8
    np.testing.assert_allclose(closed.item[head.items], item, atol=1e-6)
    np.testing.assert_allclose(closed.user[head.columns[0]], user, atol=1e-6)
    cells = len(data.likers) * len(head)
    for name, limit in (("MAX_CELLS", cells - 1), ("MOST_LIKED", len(head))):
        with monkeypatch.context() as patch:
            patch.setattr(ease, name, limit)
            closed = ease.fit(settings, data)
        np.testing.assert_allclose(
            closed.user @ closed.item.T, plain.user @ plain.item.T, atol=1e-9
        )
