"""What needs no epochs is a sum over users: it is the same in blocks, each on its own copy."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import training_tables
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import open_warehouse
from two_tower.training.data.dataset import Data
from two_tower.training.experts import ease, session_ease


class Copies:
    """Workers who get everything pickled, as Ray's do."""

    def __init__(self) -> None:
        self.asked = 0

    def map(
        self, data: Data, rows: NDArray[np.int64], found: Callable[[Data, NDArray[np.int64]], Any]
    ) -> Iterator[Any]:
        for block in np.array_split(rows, 3):
            self.asked += len(block)
            sent = pickle.dumps((replace(data, workers=None), block, found))
            copy, its_rows, its_found = pickle.loads(sent)
            sums, *rest = its_found(copy, its_rows)
            # As in Ray's memory, which processes share.
            sums.gram.flags.writeable = sums.cross.flags.writeable = False
            yield sums, *rest


@pytest.fixture
def data(duckdb_settings: Settings, tmp_path: Path) -> Data:
    with open_warehouse(duckdb_settings) as warehouse:
        training_tables.build(warehouse)
        return training_tables.read(warehouse, tmp_path / "dataset")


@pytest.mark.parametrize("expert", [ease, session_ease])
@pytest.mark.parametrize("fold", [None, 0])
def test_gram_matrices_of_blocks_add_up_to_the_whole(
    data: Data, expert: Any, fold: int | None
) -> None:
    data, config, workers = replace(data, fold=fold), TrainConfig(), Copies()
    head = expert.head_of(config, data)
    whole = expert.add_up(config, data, head)
    parts = expert.add_up(config, replace(data, workers=workers), head)
    assert workers.asked == len(data.fitted)
    np.testing.assert_allclose(parts.gram, whole.gram, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(parts.cross, whole.cross, rtol=1e-12, atol=1e-15)
    assert whole.cross.any()


def test_a_node_that_does_not_see_the_run_says_which_folder_it_lacks(data: Data) -> None:
    sent = pickle.dumps(data)
    data.users.path.unlink()
    with pytest.raises(InputError, match=r"has no .*training_users\.arrow") as raised:
        pickle.loads(sent).read(np.arange(3))
    assert "TWO_TOWER_RUNS_DIR" in raised.value.hint
