"""Training on a Ray cluster: passes over users as tasks, towers by Ray Train (ADR 33).

Every node reads the same run folder: the rows that the run began with, and the checkpoint. So what
a lost node was doing is done again by another, from what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from two_tower.core.background import background
from two_tower.core.errors import UnavailableError
from two_tower.core.progress import Bar, bar
from two_tower.core.train_config import TrainConfig
from two_tower.model.towers import Towers
from two_tower.training.data.dataset import Data
from two_tower.training.experts import towers
from two_tower.training.experts.distillation import Distillation
from two_tower.training.experts.towers import Schedule, Trained
from two_tower.training.group import Group
from two_tower.training.tasks import Checkpoint

T = TypeVar("T")

# Blocks of users whatever the cluster has: the sums, and so the model, are the same bit by bit.
BLOCKS = 8
# Times that a fit of the towers goes on from its checkpoint after a node or a worker was lost.
MOST_LOST = 3


class RayWorkers:
    """The cluster as what helps with passes over users."""

    def map(
        self, data: Data, rows: NDArray[np.int64], found: Callable[[Data, NDArray[np.int64]], T]
    ) -> Iterator[T]:
        """Yield what is found in each block of these users, a task each."""
        given = ray.put(replace(data, workers=None))
        task = ray.remote(scheduling_strategy="SPREAD")(_found)
        blocks = np.array_split(rows, max(min(BLOCKS, len(rows)), 1))
        for each in [task.remote([given], block, found) for block in blocks]:
            yield ray.get(each)


def _found(
    given: list[Any], rows: NDArray[np.int64], found: Callable[[Data, NDArray[np.int64]], T]
) -> T:
    return found(ray.get(given[0]), rows)


@dataclass(frozen=True)
class _Fit:
    """What the workers of a fit are given."""

    config: TrainConfig
    data: Data
    schedule: Schedule
    distilled: Distillation | None
    ranked: NDArray[np.int64]
    checkpoint: Checkpoint
    begun: Towers | None


def fit_towers(
    config: TrainConfig,
    data: Data,
    schedule: Schedule,
    distilled: Distillation | None,
    ranked: NDArray[np.int64],
    checkpoint: Checkpoint,
    shown: Bar,
    begun: Towers | None = None,
) -> Trained:
    """Train as :func:`towers.fit` does, on a worker a node, each on its share of every batch.

    Raises:
        UnavailableError: more nodes or workers were lost than a fit can bear.
    """
    data = replace(data, workers=None)
    config = config.changed(device="cpu")  # no worker asks Ray for a GPU
    given = ray.put(_Fit(config, data, schedule, distilled, ranked, checkpoint, begun))
    cores = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    cores = [each for each in cores if each]
    # One is left for what needs no epochs, where most of them are more than half: a worker a node.
    each = min(cores) - 1 if min(cores) > 2 else min(cores)
    shown.note(f"towers on {len(cores)} Ray nodes")
    trainer = TorchTrainer(
        _loop,
        train_loop_config={"given": [given]},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(
            num_workers=(1, len(cores)),  # with those that are left, where nodes are lost
            resources_per_worker={"CPU": each},
            placement_strategy="SPREAD",
        ),
        run_config=RunConfig(
            storage_path=str(checkpoint.path.parent / "ray"),
            failure_config=FailureConfig(max_failures=MOST_LOST),
        ),
    )
    try:
        # On another thread than the main one, whose Ctrl-C it would take for itself.
        background(trainer.fit).result()
    except ray.train.TrainingFailedError as error:
        raise UnavailableError(
            f"Ray Train has failed: {error}", "two-tower train --resume goes on from its checkpoint"
        ) from error
    # From the last checkpoint, behind which there is nothing left to train.
    return towers.fit(config, data, schedule, distilled, ranked, checkpoint, shown, begun)


def _loop(given: dict[str, Any]) -> None:
    """Train on one worker."""
    fit: _Fit = ray.get(given["given"][0])
    group = Group(torch.distributed.get_rank(), torch.distributed.get_world_size())
    checkpoint = _Shared(fit.checkpoint, group, fit.schedule.epochs)
    if len(fit.data.items) < towers.ONE_THREAD_BELOW:
        torch.set_num_threads(1)
    with bar("Training") as shown:
        towers.fit(
            *(fit.config, fit.data, fit.schedule, fit.distilled, fit.ranked),
            *(checkpoint, shown, fit.begun, group),
        )


class _Shared(Checkpoint):
    """The checkpoint of a group: the first of it reads and writes it."""

    def __init__(self, checkpoint: Checkpoint, group: Group, epochs: int) -> None:
        super().__init__(checkpoint.path.parent, checkpoint.key)
        self.group, self.epochs = group, epochs

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last; all go on from the same."""
        found = [super().load() if self.group.rank == 0 else None]
        torch.distributed.broadcast_object_list(found)
        return found[0]

    def save(self, state: dict[str, Any]) -> None:
        """Save a state; the last one in any case."""
        if self.group.rank == 0:
            if state["fit"]["done"] == self.epochs:
                self.saved_at = -np.inf
            super().save(state)
