"""Intervals and the paired test, against theory and against all possible signs."""

import itertools

import numpy as np
import pytest

from two_tower.evaluation import bootstrap


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, (400, 1))
    lower, upper = bootstrap.bounds(bootstrap.resampled_means(values))
    error = values.std() / 20
    assert lower[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert upper[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        lower, upper = bootstrap.bounds(bootstrap.resampled_means(rng.random((60, 1))))
        held += bool(lower[0] <= 0.5 <= upper[0])
    assert 180 <= held <= 199


def test_resamples_equal_a_plain_loop_and_are_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = np.random.default_rng(3).random((7, 2))
    columns[2, 1] = np.nan
    drawn = np.random.default_rng(bootstrap.SEED).integers(0, 7, (bootstrap.RESAMPLES, 7))
    expected = [np.nanmean(columns[row], axis=0) for row in drawn]
    assert bootstrap.resampled_means(columns) == pytest.approx(np.array(expected))
    monkeypatch.setattr(bootstrap, "DRAWN_CELLS", 70)
    assert bootstrap.resampled_means(columns) == pytest.approx(np.array(expected))


def test_a_metric_that_nobody_has_has_no_interval() -> None:
    columns = np.array([[0.5, np.nan], [0.5, np.nan]])
    lower, upper = bootstrap.bounds(bootstrap.resampled_means(columns))
    assert (lower[0], upper[0]) == (0.5, 0.5)
    assert np.isnan([lower[1], upper[1]]).all()


def test_p_values_come_near_those_of_all_signs() -> None:
    differences = np.random.default_rng(4).normal(0.4, 1.0, (9, 3))
    found = bootstrap.sign_flip_p_values(differences)
    for column, p_value in zip(differences.T, found, strict=True):
        sums = [abs(np.dot(signs, column)) for signs in itertools.product((-1, 1), repeat=9)]
        exact = np.mean([total >= abs(column.sum()) - 1e-9 for total in sums])
        assert p_value == pytest.approx(exact, abs=0.02)


def test_no_difference_is_certain_to_be_reached_and_a_large_one_never() -> None:
    differences = np.zeros((100, 2))
    differences[:, 1] = np.random.default_rng(5).normal(1.0, 0.1, 100)
    same, other = bootstrap.sign_flip_p_values(differences)
    assert same == 1.0
    assert other == 1 / (1 + bootstrap.FLIPS)
