"""What passes between this project and the peers, which live in an environment of their own.

A problem goes over as one ``.npz`` file and the lists come back as another. Neither holds a
held-out review: a peer cannot see what it is measured on. Nothing but numpy and scipy is imported
here, for the peers have nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
# Places of a list; what is not there is NOBODY.
DEPTH = 100
NOBODY = -1


@dataclass(frozen=True)
class Problem:
    """Training reviews, what is known about the videos, and who asks for lists.

    Attributes:
        users: the row of each training review's user, int64 ``[reviews]``.
        items: its item number, int64 ``[reviews]``.
        liked: its label, bool ``[reviews]``.
        relevances: how relevant it is, 0..1, float32 ``[reviews]``.
        validation: whether it is withheld while hyper-parameters are chosen, bool ``[reviews]``.
        shape: users and items.
        item_features: float32 ``[items, features]``: the item tower's input without the videos'
            own ids.
        is_tag: which features are tags, bool ``[features]``.
        asked: rows of the users who want a list, int64 ``[asked]``.
        among: the videos that a second list ranks among themselves, bool ``[items]``; none: there
            is no such list.
        validation_among: the same while hyper-parameters are chosen, bool ``[items]``.
        newcomers: likes of people without a training review, bool ``[newcomers, items]``.
    """

    users: Ints
    items: Ints
    liked: Bools
    relevances: NDArray[np.float32]
    validation: Bools
    shape: tuple[int, int]
    item_features: sparse.csr_matrix
    is_tag: Bools
    asked: Ints
    among: Bools
    validation_among: Bools
    newcomers: sparse.csr_matrix

    def reviews(self) -> sparse.csr_matrix:
        """Return who reviewed what: float32 ones, ``[users, items]``."""
        return _ones(self.users, self.items, self.shape)

    def likes(self) -> sparse.csr_matrix:
        """Return who liked what: float32 ones, ``[users, items]``."""
        return _ones(self.users[self.liked], self.items[self.liked], self.shape)

    def found(self, graded: bool) -> sparse.csr_matrix:
        """Return what is to be found: the likes, or all reviews by their relevance.

        The latter is what ours is fitted on; which of the two is better for a peer its grid says.
        """
        if not graded:
            return self.likes()
        reviews = sparse.csr_matrix((self.relevances, (self.users, self.items)), shape=self.shape)
        reviews.sort_indices()
        return reviews

    def without_validation(self) -> Problem:
        """Return the problem that hyper-parameters are chosen on."""
        kept = ~self.validation
        rows = {name: getattr(self, name)[kept] for name in _ROWS}
        return replace(self, **rows)

    def validation_targets(self) -> sparse.csr_matrix:
        """Return the withheld likes: float32 ones, ``[users, items]``."""
        rows = self.validation & self.liked
        return _ones(self.users[rows], self.items[rows], self.shape)

    def save(self, path: Path) -> None:
        """Write the file."""
        arrays: dict[str, Any] = {}
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if sparse.issparse(value):
                arrays |= {f"{name}.{part}": getattr(value, part) for part in _SPARSE}
            else:
                arrays[name] = value
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Problem:
        """Read the file."""
        with np.load(path, allow_pickle=False) as file:
            values: dict[str, Any] = {}
            for name in (each.name for each in fields(cls)):
                if name in file:
                    values[name] = file[name]
                else:
                    data, indices, indptr, shape = (file[f"{name}.{part}"] for part in _SPARSE)
                    values[name] = sparse.csr_matrix((data, indices, indptr), shape=tuple(shape))
        values["shape"] = tuple(int(size) for size in values["shape"])
        return cls(**values)


@dataclass(frozen=True)
class Answer:
    """What one model answered.

    Attributes:
        lists: item numbers of all asked users, the best first, int64 ``[asked, DEPTH]``.
        among: the same among ``Problem.among`` alone, ``[asked, DEPTH]``; empty without it.
        newcomers: int64 ``[newcomers, DEPTH]``.
        train_seconds: of the last fit, on all training reviews.
        search_seconds: of choosing the hyper-parameters before it.
        parameters: the chosen ones.
        validation: the metric that chose them, None where there was nothing to choose.
    """

    lists: Ints
    among: Ints
    newcomers: Ints
    train_seconds: float
    search_seconds: float = 0.0
    parameters: dict[str, Any] = field(default_factory=dict)
    validation: float | None = None


def save_answers(path: Path, answers: dict[str, Answer]) -> None:
    """Write the lists of each model into one ``.npz``."""
    arrays: dict[str, Any] = {}
    for model, answer in answers.items():
        values = {each.name: getattr(answer, each.name) for each in fields(answer)}
        arrays |= {f"{model}.{name}": values.pop(name) for name in _LISTS}
        arrays[f"{model}.rest"] = np.array(json.dumps(values))
    np.savez_compressed(path, **arrays)


def load_answers(path: Path) -> dict[str, Answer]:
    """Read what :func:`save_answers` wrote."""
    with np.load(path, allow_pickle=False) as file:
        models = [name.removesuffix(".rest") for name in file.files if name.endswith(".rest")]
        return {
            model: Answer(
                **{name: file[f"{model}.{name}"] for name in _LISTS},
                **json.loads(str(file[f"{model}.rest"])),
            )
            for model in models
        }


_ROWS = ("users", "items", "liked", "relevances", "validation")
_SPARSE = ("data", "indices", "indptr", "shape")
_LISTS = ("lists", "among", "newcomers")


def _ones(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sparse.csr_matrix:
    ones = np.ones(len(rows), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (rows, columns)), shape=shape)
    matrix.sort_indices()
    return matrix
