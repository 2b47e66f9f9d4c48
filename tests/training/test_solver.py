import duckdb
import numpy as np

import training_tables
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.training.experts import solver as module
from two_tower.training.experts.solver import Solver


def test_of_a_large_catalogue_sittings_are_those_of_the_most_liked(tmp_path, monkeypatch):
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse)
    data = training_tables.read(warehouse, tmp_path)
    solver = Solver(TrainConfig(), data)
    assert solver.short_base is solver.base
    monkeypatch.setattr(module, "MOST_LIKED", 20)
    solver = Solver(TrainConfig(), data)
    solved = solver.search(solver.try_ridges(data.validation, "ndcg@100"))
    known = [np.flatnonzero(part.item.any(axis=1)) for part in (solved.closed, solved.sittings)]
    assert [len(part) for part in known] == [training_tables.WITH_ID, 20]
    others = np.setdiff1d(known[0], known[1])
    assert data.like_counts[known[1]].min() >= data.like_counts[others].max()


def test_sittings_keep_to_the_videos_of_the_closed_form(tmp_path):
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse)
    data = training_tables.read(warehouse, tmp_path)
    solver = Solver(TrainConfig(closed_form_items=15), data)
    assert [len(base.head.items) for base in (solver.base, solver.sittings_base)] == [15, 15]
