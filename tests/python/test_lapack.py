import threading
import time

import numpy as np
import pytest
from scipy.linalg import LinAlgError, cho_solve

from two_tower.lapack import factorised, inverted


def definite(size, dtype):
    half = np.random.default_rng(0).standard_normal((size, size))
    return (half @ half.T + size * np.eye(size)).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_the_inverse_is_the_inverse(dtype, tolerance):
    matrix = definite(70, dtype)
    found = inverted(matrix.copy())
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found @ matrix, np.eye(70), atol=tolerance)
    np.testing.assert_array_equal(inverted(np.asfortranarray(matrix)), found)


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


def test_another_thread_goes_on_meanwhile():
    """Of a call that held Python's lock it would see a third at once, and two thirds."""
    matrix = definite(2500, np.float64)
    thread = threading.Thread(target=inverted, args=(matrix,))
    moments = [time.perf_counter()]
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
        moments.append(time.perf_counter())
    assert np.diff(moments).max() < 0.25 * (moments[-1] - moments[0])
