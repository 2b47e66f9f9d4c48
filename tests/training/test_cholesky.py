import threading

import numpy as np
import pytest
from scipy.linalg import LinAlgError, cho_solve

from two_tower.training.experts import cholesky
from two_tower.training.experts.cholesky import factorised, inverted


def definite(size, dtype):
    half = np.random.default_rng(0).standard_normal((size, size))
    return (half @ half.T + size * np.eye(size)).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_the_inverse_is_the_inverse(dtype, tolerance):
    matrix = definite(70, dtype)
    found = inverted(matrix.copy(), strip=32)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found @ matrix, np.eye(70), atol=tolerance)
    np.testing.assert_array_equal(inverted(np.asfortranarray(matrix), strip=32), found)


def test_the_factor_solves():
    matrix, right = definite(30, np.float64), np.arange(60.0).reshape(30, 2)
    found = cho_solve((factorised(matrix.copy()), False), right)
    np.testing.assert_allclose(matrix @ found, right, atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    matrix = definite(10, np.float32)
    matrix[5, 5] = -1
    for call in (factorised, inverted):
        with pytest.raises(LinAlgError, match="not positive definite"):
            call(matrix.copy())


def test_another_thread_goes_on_meanwhile(monkeypatch):
    """Of a routine that held Python's lock it would see the beginning and the end alone."""
    ticks, seen, ended = [], [], threading.Event()
    routine = cholesky._routine

    def tick():
        while not ended.wait(0.001):
            ticks.append(1)

    def counted(name):
        def call(*given):
            before = len(ticks)
            routine(name)(*given)
            seen.append(len(ticks) - before)

        return call

    monkeypatch.setattr(cholesky, "_routine", counted)
    thread = threading.Thread(target=tick)
    thread.start()
    inverted(definite(2500, np.float64))
    ended.set()
    thread.join()
    assert len(seen) == 2
    assert min(seen) > 5
