"""Symmetric positive definite matrices, factorised and inverted while other threads go on.

scipy's wrappers of LAPACK hold Python's lock: the steps of the towers, the progress bar and Ctrl-C
would stand still. The addresses that scipy hands to Cython do not hold it. torch's routines do not
either, but take as many threads as the towers' steps do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cython_lapack

Floats = NDArray[np.floating[Any]]


def factorised(matrix: Floats) -> Floats:
    """Return the Cholesky factor of a matrix, which is overwritten.

    Args:
        matrix: symmetric, of single or double precision, ``[n, n]``.

    Returns:
        ``U`` with ``U'U`` the matrix in the upper triangle; what is below it means nothing.

    Raises:
        LinAlgError: the matrix is not positive definite.
    """
    return _call("potrf", np.ascontiguousarray(matrix))


def inverted(matrix: Floats, strip: int = 256) -> Floats:
    """Return the inverse of such a matrix, which is overwritten.

    Raises:
        LinAlgError: the matrix is not positive definite.
    """
    found = _call("potri", factorised(matrix))
    # The lower triangle from the upper one, a strip of columns at a time.
    for start in range(0, len(found), strip):
        stop = start + strip
        corner = np.triu(found[start:stop, start:stop])
        found[start:stop, start:stop] = corner + np.triu(corner, 1).T
        found[stop:, start:stop] = found[start:stop, stop:].T
    return found


def _call(name: str, matrix: Floats) -> Floats:
    """Have a routine overwrite a matrix."""
    size, failed = ctypes.c_int(len(matrix)), ctypes.c_int()
    # By rows the upper triangle is what the routines, which read by columns, take for the lower.
    _routine({"f": "s", "d": "d"}[matrix.dtype.char] + name)(
        b"L", ctypes.byref(size), matrix.ctypes.data, ctypes.byref(size), ctypes.byref(failed)
    )
    if failed.value:
        raise LinAlgError(f"a matrix is not positive definite ({name}: {failed.value})")
    return matrix


@cache
def _routine(name: str) -> Callable[..., None]:
    capsule = ctypes.py_object(cython_lapack.__pyx_capi__[name])
    name_of, address_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, address_of.restype = ctypes.c_char_p, ctypes.c_void_p
    signature = name_of(capsule)
    if not signature.startswith(b"void (char *, int *, "):
        raise RuntimeError(f"scipy's {name} is called otherwise than known here: {signature!r}")
    # Which triangle, the size, the matrix, its leading dimension, and what went wrong.
    number = ctypes.POINTER(ctypes.c_int)
    routine = ctypes.CFUNCTYPE(None, ctypes.c_char_p, number, ctypes.c_void_p, number, number)
    return routine(address_of(capsule, ctypes.c_char_p(signature)))
