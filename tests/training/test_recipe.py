"""The experts together: the model they give, and results that are not found twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import training_tables
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import open_warehouse
from two_tower.model.towers import load_towers
from two_tower.training import recipe
from two_tower.training.recipe import EXPERTS, SOLVED
from two_tower.training.tasks import Tasks
from two_tower.training.train import train

# Of the recipe as it was before experts were a list: the first five videos of the first users of
# whom the fifth is clearly ahead of the sixth.
FIRST = {
    2: [8, 14, 17, 26, 41],
    6: [0, 9, 21, 30, 36],
    8: [2, 14, 32, 38, 44],
    10: [10, 16, 22, 28, 31],
    12: [3, 6, 9, 18, 21],
    16: [4, 13, 31, 40, 49],
    18: [0, 3, 6, 30, 42],
    22: [10, 13, 25, 37, 43],
    23: [8, 14, 23, 26, 32],
    28: [4, 10, 22, 34, 37],
    29: [11, 35, 38, 44, 47],
    31: [7, 10, 16, 22, 31],
}


def test_the_experts_give_the_lists_that_they_gave_before_they_were_a_list(
    duckdb_settings: Settings, tmp_path: Path
) -> None:
    with open_warehouse(duckdb_settings) as warehouse:
        training_tables.build(warehouse)
        data = training_tables.read(warehouse, tmp_path / "spool")
    result = train(duckdb_settings, TrainConfig(epochs=4, batch_size=32))
    towers = load_towers(result.run_dir / "towers.pt")
    users = data.read(np.array(list(FIRST)))
    with torch.no_grad():
        videos = towers.forward_sparse("item", data.items.slots)
        best = (towers.forward_sparse("user", users.slots) @ videos.T).topk(5, dim=1).indices
    assert [sorted(row) for row in best.tolist()] == list(FIRST.values())
    assert (result.share, result.sitting_share, result.transition_share) == (1.0, 0.3, 0.0)
    assert result.popularity_share == 0.0


def test_weights_are_chosen_one_after_the_other_and_only_the_towers_have_epochs() -> None:
    names = [expert.name for expert in EXPERTS]
    assert names == ["ease", "towers", "session_ease", "transitions", "popularity"]
    assert [expert.name for expert in SOLVED] == [name for name in names if name != "towers"]
    for expert in EXPERTS:
        assert len(set(expert.weights)) == len(expert.weights)
        assert all(0 <= weight <= 1 for weight in expert.weights)


def test_a_result_that_is_there_is_not_found_again(tmp_path: Path) -> None:
    calls = []

    def result() -> int:
        calls.append(1)
        return len(calls)

    tasks = Tasks(tmp_path)
    assert not tasks.is_done("search/one")
    assert tasks.run("search/one", result) == 1
    assert tasks.run("final/one", result) == 2
    again = Tasks(tmp_path)
    assert again.is_done("search/one")
    assert [again.run(key, result) for key in ("search/one", "final/one")] == [1, 2]
    assert again.begin("search/one", result).result(10) == 1


def test_a_result_that_was_not_found_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("no such thing")

    tasks = Tasks(tmp_path)
    with pytest.raises(ValueError, match="no such thing"):
        tasks.begin("search/one", fail).result(10)
    assert not tasks.is_done("search/one")


def test_resuming_after_the_last_task_fits_nothing(
    duckdb_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is cut short before its files are written has them from the tasks alone."""
    with open_warehouse(duckdb_settings) as warehouse:
        training_tables.build(warehouse)
    config = TrainConfig(epochs=4, batch_size=32)

    def refuse(*_given: object, **_named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("two_tower.training.train.save_towers", refuse)
        with pytest.raises(KeyboardInterrupt):
            train(duckdb_settings, config)
    with monkeypatch.context() as patch:
        patch.setattr(recipe.towers, "fit", refuse)
        patch.setattr(recipe, "choose_ridge", refuse)
        for expert in SOLVED:
            patch.setattr(expert, "fit", refuse)
        resumed = train(duckdb_settings, config, resume=True)
    whole = train(duckdb_settings, config)
    one, other = (
        torch.load(each.run_dir / "towers.pt", weights_only=True)["state"]
        for each in (resumed, whole)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.train_loss == whole.train_loss
