"""What each part of the recipe contributes, and the recall of an index over its vectors.

    python -m benchmarks.ablation
    python -m benchmarks.ablation --dataset data/raw --epochs 10     # on your own data

By default MovieLens-100k, one split, on DuckDB. The parts are combined by the package's own
functions and measured on held-out likes, as by `two-tower evaluate`. Writes results/ablation.json.
"""

from __future__ import annotations

import argparse
import json
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from benchmarks.harness import result_file
from benchmarks.quality import data
from benchmarks.quality.scratch import Scratch, scratch_folder
from two_tower.artifacts.runs import make_run
from two_tower.core.files import write_json
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import open_warehouse
from two_tower.evaluation.evaluate import evaluate
from two_tower.model.feature_rows import read_layout
from two_tower.model.linear_map import LinearMap, on_the_sphere, reduced
from two_tower.model.towers import Towers, save_towers
from two_tower.training.data.dataset import (
    VALIDATION_FOLD,
    Data,
    UserRows,
    read_data,
    spool,
)
from two_tower.training.ensemble import Choice, Ensemble
from two_tower.training.experts import ease, session_ease, towers
from two_tower.training.experts.ridge_search import choose_ridge
from two_tower.training.experts.towers import Fit, Schedule, Trained

EPOCHS = 40
ALL = Choice({"towers": 0.8, "session_ease": 0.15})
CHOICES = {
    "all of it": ALL,
    "without sessions": Choice({"towers": 0.8}),
    "without the trained towers": Choice({"towers": 0.0, "session_ease": 0.15}),
    "without EASE": Choice({"towers": 1.0, "session_ease": 0.15}),
    "EASE alone": Choice({"towers": 0.0}),
    "trained towers, as a map": Choice({"towers": 1.0}),
}
MEASURED = ("recall@20", "recall@50", "ndcg@10", "ndcg@100", "mrr", "coverage")
RANKS = (32, 64, 96, 127)
SCANNED = 0.2


def open_data(project: Scratch) -> Data:
    """Read the project's training tables."""
    folder = project.folder / "spool"
    with open_warehouse(project.settings) as warehouse:
        layout = read_layout(warehouse)
        spool(warehouse, folder)
    return read_data(folder, layout)


def measure(project: Scratch, towers: Towers) -> dict[str, float]:
    """Evaluate towers as a run of the project."""
    run = make_run(project.settings.path(project.settings.runs_dir), None)
    towers.layout.write(run / "layout.json")
    write_json(run / "config.json", {})
    save_towers(run / "towers.pt", towers)
    with patch(
        "two_tower.evaluation.evaluate.write_report"
    ):  # a third of the time, and not used here
        found = evaluate(project.settings, run.name).metrics["two_tower"]["overall"]
    return {name: float(found[name] or 0.0) for name in MEASURED}


def filled_up(factors: LinearMap, known: NDArray[np.bool_]) -> LinearMap:
    """Return the same scores with item vectors padded to equal length, without a rotation."""
    lengths = np.linalg.norm(factors.item, axis=1)
    longest = lengths[known].max()
    missing = np.sqrt(np.maximum(longest**2 - lengths**2, 0))[:, None]
    user = np.hstack([factors.user, np.zeros((len(factors.user), 1))])
    return LinearMap(user, np.hstack([factors.item, missing]) / longest)


def found_by_lists(ensemble: Ensemble, factors: LinearMap) -> float:
    """Return the recall of the exact top 20 in the nearest fifth of an index's lists."""
    users = ensemble.users @ factors.user
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    videos = factors.item[ensemble.known]
    lists = int(np.sqrt(len(videos)))
    centres, member = kmeans2(videos, lists, minit="++", seed=0)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    top = np.argsort(-(users @ videos.T), axis=1)[:, :20]
    read = np.argsort(-(users @ centres.T), axis=1)[:, : int(SCANNED * lists)]
    return float((member[top][:, :, None] == read[:, None, :]).any(axis=2).mean())


def train(config: TrainConfig, data: Data, epochs: int) -> tuple[Towers, Ensemble]:
    """Return trained towers, and their ensemble with EASE."""
    fit = Fit(config, data, epochs)
    for _ in range(epochs):
        fit.epoch(lambda _: None)
    tried = choose_ridge(config, data.without_fold(VALIDATION_FOLD), data.validation)
    config = config.changed(ridge=tried.ridge)
    trained = Trained(fit.towers, Schedule(epochs, config.temperature), [], 0.0, 0.0)
    parts = [
        (ease, ease.fit(config, data)),
        (towers, trained.as_map(data, data.known)),
        (session_ease, session_ease.fit(config, data)),
    ]
    return fit.towers, Ensemble(config, data, [(each, part) for each, part in parts if part])


def parts(project: Scratch, data: Data, epochs: int) -> dict[str, dict[str, float]]:
    """Measure the recipe and its parts, and an index's recall at each rank."""
    trained, ensemble = train(TrainConfig(), data, epochs)
    rows = {name: measure(project, ensemble.towers(choice)) for name, choice in CHOICES.items()}
    rows["trained towers alone"] = measure(project, trained)
    liked = property(lambda users: users.liked.astype(np.float32), lambda *_: None)
    with patch.object(UserRows, "relevances", liked, create=True):
        rows["fitted to find likes alone"] = measure(
            project, train(TrainConfig(), data, epochs)[1].towers(ALL)
        )
    # As with catalogues that are too large for either: the recipe's steps that depend on size.
    half = len(data.items) // 2
    for name, steps in {
        "EASE of half": {"closed_form_items": half},
        "softmax over half": {"max_full_softmax_items": 0, "sampled_items": half},
        "both of half": {
            "closed_form_items": half,
            "max_full_softmax_items": 0,
            "sampled_items": half,
        },
    }.items():
        _, small = train(TrainConfig().changed(**steps), data, epochs)
        rows[name] = measure(project, small.towers(ALL))
    for rank in RANKS:
        factors = reduced(ensemble.at(ALL), ensemble.users, ensemble.known, rank)
        rows[f"found at rank {rank}"] = {
            "filled up": found_by_lists(ensemble, filled_up(factors, ensemble.known)),
            "turned": found_by_lists(
                ensemble, on_the_sphere(factors, ensemble.users, ensemble.known)
            ),
        }
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=data.named, default="ml-100k")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with scratch_folder() as folder:
        project = Scratch(folder, "duckdb")
        data.write(given.dataset, project)
        project.two_tower("load")
        project.dbt("run")
        rows = parts(project, open_data(project), given.epochs)
    text = json.dumps(rows, indent=2) + "\n"
    result_file("ablation.json").write_text(text, encoding="utf-8")
    for name, row in rows.items():
        print(f"{name:26}", " ".join(f"{metric} {value:.4f}" for metric, value in row.items()))


if __name__ == "__main__":
    main()
