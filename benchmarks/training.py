"""Training: sparse towers beside the same towers in dense PyTorch, `two-tower train` beside ALS.

    make bench-training                                             # 100k reviews
    python -m benchmarks.training --reviews 1000000 --steps 1       # width 20,000; much slower
    python -m benchmarks.training --reviews 1000 --rounds 1         # a small one

Generated reviews on DuckDB; fold 0 is withheld and its likes are ranked (NDCG@100). The dense
towers begin with the same weights, get the same batches as flat vectors, and take autograd and
`torch.optim.Adam`; steps of the two are measured in turns. Their first losses have to agree, so
they learn the same, and how soon the dense ones reach 99 % of the final NDCG@100 follows from what
a step takes them. ALS of `implicit` (.venv-peers, which `make bench-training` sets up) is fitted to
the same reviews by a small grid; the best fit counts, and its seconds alone. Beside it is all of
`two-tower train`: search, final fit and every expert. Sizes that are not asked for keep their
figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from benchmarks.comparison import ROW, Comparison, with_kept
from benchmarks.harness import Timed, report, timed
from benchmarks.quality.data import PEERS_PYTHON
from benchmarks.quality.scratch import Scratch, scratch_folder
from two_tower.core.train_config import TrainConfig
from two_tower.data.sample_data import generate
from two_tower.database.warehouse import open_warehouse
from two_tower.model.fast_ops import NEVER
from two_tower.model.feature_rows import read_layout
from two_tower.model.slots import Slots
from two_tower.training.data.batches import draw
from two_tower.training.data.dataset import VALIDATION_FOLD, Data, read_data, spool
from two_tower.training.data.validation import METRIC, validate, validate_towers
from two_tower.training.experts.towers import Fit

GOAL_DENSE, GOAL_WIDTH = 1 / 20, 20_000
GOAL_ALS = 3.0
REACHED = 0.99
AGREE = 1e-3  # of the first losses, as a share


class TorchAdam:
    """Adam by torch's class, with the steps of ours."""

    def __init__(self, modules: torch.nn.Module) -> None:
        self.parameters = list(modules.parameters())
        self.optimizer = torch.optim.Adam(self.parameters)

    def step(self, rate: float, longest: float) -> None:
        """Take a step at this learning rate, gradients together no longer than ``longest``."""
        torch.nn.utils.clip_grad_norm_(self.parameters, longest)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()


class DenseFit(Fit):
    """The same training as a team would write it first: dense rows, autograd, Adam's class."""

    def __init__(self, config: TrainConfig, data: Data) -> None:
        super().__init__(config, data)
        self.modules = self.towers.dense_module().train()
        self.adam = TorchAdam(self.modules)  # type: ignore[assignment]
        seen = np.flatnonzero(self.data.seen)
        self.place = np.full(len(self.data.items), -1)
        self.place[seen] = np.arange(len(seen))
        self.items = self._dense("item", self.data.items.slots.take(seen))

    def _dense(self, tower: Any, slots: Slots) -> Tensor:
        return torch.from_numpy(self.data.layout.densify(tower, slots))

    def _step(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float]:
        """Find the gradients of a batch."""
        part = self.data.read(rows)
        batch = draw(self.data, part, part.relevances, self.config, rng)
        users, items = self.modules(self._dense("user", batch.slots), self.items)
        shown = self.place[batch.shown_items]
        scores = users @ items.T / self.config.temperature
        cells = batch.shown_rows[shown >= 0], shown[shown >= 0]
        mask = torch.zeros(scores.shape, dtype=torch.bool)
        mask[cells] = True
        chances = scores.masked_fill(mask, NEVER).log_softmax(1)
        weights = torch.from_numpy(batch.weights / batch.weights.sum())
        loss = -(weights * chances[batch.rows, self.place[batch.items]]).sum()
        self.modules.zero_grad()
        loss.backward()
        return loss.item(), len(part.items)


def some_steps(fit: Fit, steps: int) -> dict[str, float]:
    """Go on for so many steps; return their ``seconds``, ``reviews`` and mean ``loss``."""
    fit.steps = steps
    return fit.epoch(lambda _: None)


def in_turns(
    data: Data, config: TrainConfig, size: int, rounds: int, steps: int
) -> tuple[Comparison, float]:
    """Measure steps of both; return the seconds of a step, and the reviews of ours a second."""
    ours, dense = Fit(config, data), DenseFit(config, data)
    whole = ours.steps
    losses = [some_steps(each, 1)["loss"] for each in (ours, dense)]
    if abs(losses[1] / losses[0] - 1) > AGREE:
        sys.exit(f"the towers do not learn the same: their first losses are {losses}")
    taken: dict[str, list[float]] = {"ours": [], "dense": []}
    read = seconds = 0.0
    for _ in range(rounds):
        found = some_steps(ours, whole)
        read, seconds = read + found["reviews"], seconds + found["seconds"]
        taken["ours"].append(found["seconds"] / whole)
        few = min(steps, whole)
        taken["dense"].append(some_steps(dense, few)["seconds"] / few)
    width = ours.data.layout.feature_dim("user")
    goal = GOAL_DENSE if width >= GOAL_WIDTH else None
    ours_name = "a step of the sparse towers"
    pair = Comparison(size, ours_name, "dense PyTorch", taken["ours"], taken["dense"], goal=goal)
    return pair, read / seconds


def curve(data: Data, config: TrainConfig) -> tuple[list[float], list[float]]:
    """Train ours to the end; return seconds so far and NDCG@100 after each epoch."""
    fit = Fit(config, data)
    seconds, found = [0.0], []
    while fit.done < fit.epochs:
        seconds.append(seconds[-1] + fit.epoch(lambda _: None)["seconds"])
        found.append(validate_towers(fit.towers, fit.data, data.validation)[METRIC])
    return seconds[1:], found


def als(data: Data, folder: Path) -> tuple[float, float]:
    """Return NDCG@100 and the seconds of the best fit of ALS."""
    rows, items, values = [], [], []
    for numbers, part in data.users.chunks(data.layout):
        kept = part.folds != VALIDATION_FOLD
        rows.append(numbers[part.rows[kept]])
        items.append(part.items[kept])
        values.append(part.relevances[kept])
    places = np.concatenate(rows), np.concatenate(items)
    shape = len(data.users), len(data.items)
    matrix = sparse.csr_matrix((np.concatenate(values), places), shape, dtype=np.float32)
    sparse.save_npz(folder / "reviews.npz", matrix)
    command = [str(PEERS_PYTHON), "-m", "benchmarks.training_peers.als"]
    timed([*command, str(folder / "reviews.npz"), str(folder)], Scratch(folder, "duckdb").env)
    fits = json.loads((folder / "als.json").read_text())
    found = []
    for number, fit in enumerate(fits):
        factors = np.load(folder / f"als_{number}.npz")
        found.append((ranked(data, factors["users"], factors["items"]), fit["seconds"]))
    return max(found)


def ranked(data: Data, users: NDArray[np.float32], items: NDArray[np.float32]) -> float:
    """Return NDCG@100 of factors of users and videos, ranked as the towers are."""
    vectors = torch.from_numpy(users[data.validation])
    at = 0

    def encode(slots: Slots) -> Tensor:
        nonlocal at
        at += len(slots)
        return vectors[at - len(slots) : at]

    return validate(encode, torch.from_numpy(items), data, data.validation)[METRIC]


def prepared(folder: Path, reviews: int, videos: int | None) -> tuple[Scratch, Data]:
    """Generate, build, and open what training reads; fold 0 is withheld."""
    project = Scratch(folder, "duckdb")
    generate(project.settings.path(project.settings.data_dir), reviews, videos=videos)
    project.two_tower("load")
    project.dbt("build", "--exclude-resource-type", "unit_test", "test")
    with open_warehouse(project.settings) as warehouse:
        layout = read_layout(warehouse)
        spool(warehouse, folder / "spool")
    return project, read_data(folder / "spool", layout).without_fold(VALIDATION_FOLD)


def beside_als(done: Timed, folder: Path, data: Data, size: int) -> tuple[list[ROW], list[ROW]]:
    """Return `two-tower train` beside ALS: a comparison, and a row of quality for each."""
    result = json.loads(done.output[done.output.index("{") :])
    whole = float(result["seconds"])
    models: list[ROW] = [
        {"size": size, "model": "two-tower train", METRIC: result["valid_metric"], "seconds": whole}
    ]
    if not PEERS_PYTHON.is_file():
        print(f"{PEERS_PYTHON} is not there: without ALS (make bench-training sets it up)")
        return [], models
    value, seconds = als(data, folder)
    models.append({"size": size, "model": "ALS of implicit", METRIC: value, "seconds": seconds})
    pair = Comparison(
        size, "two-tower train", "a fit of ALS", [whole], [seconds], done.peak_mib, goal=GOAL_ALS
    )
    return [pair.row()], models


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reviews", type=int, default=100_000)
    parser.add_argument("--videos", type=int, help="default: as many as so many reviews have")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of the dense towers a round")
    given = parser.parse_args()
    size = given.reviews
    config = TrainConfig()
    with scratch_folder() as folder:
        project, data = prepared(folder, size, given.videos)
        trained = project.two_tower("train", "--json")  # while this process is still small
        pair, speed = in_turns(data, config, size, given.rounds, given.steps)
        seconds, found = curve(data, config)
        comparisons, models = beside_als(trained, folder, data, size)
    first = next(n for n, value in enumerate(found) if value >= REACHED * found[-1])
    slower = statistics.median(b / a for a, b in zip(pair.seconds, pair.peer_seconds, strict=True))
    layout = data.without(("recency", "profile")).layout  # what the towers see
    soon: list[ROW] = [
        {
            "size": size,
            "user width": layout.feature_dim("user"),
            "item width": layout.feature_dim("item"),
            "reviews/s": speed,
            METRIC: found[-1],
            "seconds to 99 %": seconds[first],
            "dense, seconds to 99 %": seconds[first] * slower,
        }
    ]
    report(
        "training",
        [],
        comparisons=with_kept("training", "comparisons", [pair.row(), *comparisons]),
        towers=with_kept("training", "towers", soon),
        models=with_kept("training", "models", models),
    )


if __name__ == "__main__":
    main()
