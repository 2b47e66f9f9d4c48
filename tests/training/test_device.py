"""Training on another device than the CPU: without one here, on the device that has no values."""

import duckdb
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import training_tables
from two_tower.core.errors import InputError
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.training.experts import distillation, towers

META = torch.device("meta")


class OneDevice(TorchDispatchMode):
    """Refuses what a GPU refuses: operations on tensors of two devices, but for copies."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs or {}))
        devices = {each.device.type for each in given if isinstance(each, torch.Tensor)}
        assert len(devices) < 2 or "copy" in str(func), f"{func} of tensors on {devices}"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def data(tmp_path):
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse)
    return training_tables.read(warehouse, tmp_path)


CONFIGS = {
    "softmax": TrainConfig(),
    "sampled": TrainConfig(max_full_softmax_items=1, sampled_items=4),
    "distilled": TrainConfig(),
    "bce": TrainConfig(loss="bce", start="random"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_keeps_all_of_its_tensors_on_the_device(data, monkeypatch, name):
    monkeypatch.setattr(towers, "device_of", lambda config: META)
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: 0.0)
    config = CONFIGS[name]
    teacher = distillation.fit(config, data) if name == "distilled" else None
    fit = towers.Fit(config, data, epochs=1, distilled=teacher)
    with OneDevice():
        fit.epoch(lambda _: None)
    assert {each.device for each in fit.towers.parameters()} == {META}
    assert {each.device for each in fit.adam.steps + fit.adam.means} == {META}


def test_a_seed_begins_with_the_same_weights_on_every_device(data, monkeypatch):
    here = towers.Fit(TrainConfig(device="cpu"), data).towers.state_dict()
    moved = []
    monkeypatch.setattr(towers.Towers, "to", lambda self, device: moved.append(device) or self)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    there = towers.Fit(TrainConfig(), data).towers.state_dict()
    assert moved == [torch.device("cuda")]
    assert all(torch.equal(here[name], there[name]) for name in here)


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert towers.device_of(TrainConfig()).type == kind
        assert towers.device_of(TrainConfig(device="cpu")).type == "cpu"


def test_a_gpu_that_is_not_there_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"cuda.*finds no GPU") as error:
        towers.device_of(TrainConfig(device="cuda"))
    assert "--device auto" in str(error.value.hint)


def test_towers_that_end_on_a_device_come_back_from_it(data, tmp_path, monkeypatch):
    came = []
    monkeypatch.setattr(towers.Towers, "cpu", lambda self: came.append(self))
    checkpoint = towers.Checkpoint(tmp_path, "a")
    shown = type("Bar", (), {"advance": lambda *_: None, "note": lambda *_: None})()
    nobody = np.empty(0, dtype=np.int64)
    schedule = towers.Schedule(1, 0.2)
    trained = towers.fit(TrainConfig(device="cpu"), data, schedule, None, nobody, checkpoint, shown)
    assert came == [trained.towers]
